/* APBUART and GPTIMER of a LEON3. */
#include "target.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x80000100u)
#define UART_STATUS REGISTER(0x80000104u)
#define UART_CONTROL REGISTER(0x80000108u)
#define TIMER_SCALER_RELOAD REGISTER(0x80000304u)
#define TIMER_COUNTER REGISTER(0x80000310u)
#define TIMER_RELOAD REGISTER(0x80000314u)
#define TIMER_CONTROL REGISTER(0x80000318u)

void target_put(char character)
{
    UART_CONTROL = 3u; /* receiver and transmitter on */
    while ((UART_STATUS & 4u) == 0u) {
    }
    UART_DATA = (uint32_t)(unsigned char)character;
}

uint32_t target_now(void)
{
    static uint32_t started;

    if (started == 0u) {
        started = 1u;
        TIMER_SCALER_RELOAD = 0u;
        TIMER_CONTROL = 0u;
        TIMER_RELOAD = 0xffffffffu;
        TIMER_CONTROL = 7u; /* load, restart, enable */
    }
    return 0u - TIMER_COUNTER;
}
