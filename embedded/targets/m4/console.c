/* CMSDK UART 0 and timer 0 of the MPS2 boards. */
#include "target.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CONTROL REGISTER(0x40004008u)
#define UART_DIVISOR REGISTER(0x40004010u)
#define TIMER_CONTROL REGISTER(0x40000000u)
#define TIMER_VALUE REGISTER(0x40000004u)
#define TIMER_RELOAD REGISTER(0x40000008u)

void target_put(char character)
{
    UART_DIVISOR = 16u;
    UART_CONTROL = 1u; /* transmitter on */
    while ((UART_STATE & 1u) != 0u) {
    }
    UART_DATA = (uint32_t)(unsigned char)character;
}

uint32_t target_now(void)
{
    if (TIMER_CONTROL == 0u) {
        TIMER_RELOAD = 0xffffffffu;
        TIMER_VALUE = 0xffffffffu;
        TIMER_CONTROL = 1u;
    }
    return 0u - TIMER_VALUE;
}
