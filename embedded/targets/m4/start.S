/* Start-up of a Cortex-M: vector table, clear memory, main. */

    .syntax unified
    .thumb
    .section .text.start, "ax"
    .word   _stack_top
    .word   _start
    .rept   62
    .word   trapped
    .endr

    .global _start
    .thumb_func
_start:
    ldr     r0, =_bss
    ldr     r1, =_ebss
    movs    r2, #0
1:  cmp     r0, r1
    bhs     2f
    str     r2, [r0], #4
    b       1b
2:  bl      main
    bl      target_exit

    .thumb_func
trapped:
    mrs     r0, ipsr
    bl      target_trapped

/* Semihosting: SYS_EXIT, ADP_Stopped_ApplicationExit. */
    .global target_exit
    .thumb_func
target_exit:
    movs    r0, #0x18
    ldr     r1, =0x20026
    bkpt    0xab
    b       target_exit
