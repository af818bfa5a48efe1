/* What a target offers to the measuring program: a way out for characters, a counter of what was executed,
 * and an end. Each target has these in its console.c. */
#ifndef TARGET_H
#define TARGET_H

#include <stdint.h>

void target_put(char character);

/* Ticks since some moment, modulo 2^32; how many make an instruction stands in target.toml. */
uint32_t target_now(void);

/* Stops the machine; never returns. */
void target_exit(void);

/* Called by start.S when the processor traps: says the number and stops. */
void target_trapped(uint32_t number);

/* The measuring program; called by start.S. */
int main(void);

#endif
