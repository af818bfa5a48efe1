/* Start-up of a SPARC V8 with eight register windows: trap table, window traps, stack, main. */

    .section .text.start, "ax"
    .align 4096
trap_table:
    .set number, 0
    .rept 256
    .if number == 5
    ba      window_overflow
    rd      %wim, %l3
    nop
    nop
    .elseif number == 6
    ba      window_underflow
    rd      %wim, %l3
    nop
    nop
    .else
    ba      trapped
    mov     number, %l3
    nop
    nop
    .endif
    .set number, number + 1
    .endr

    .global _start
_start:
    wr      %g0, 0xfc0, %psr            /* supervisor, no interrupts, traps off, window 0 */
    nop; nop; nop
    wr      %g0, 4, %wim                /* window 2 is the invalid one */
    nop; nop; nop
    set     trap_table, %g1
    wr      %g1, %tbr
    nop; nop; nop
    wr      %g0, %y
    set     _stack_top - 96, %sp
    clr     %fp
    set     _bss, %g1
    set     _ebss, %g2
1:  cmp     %g1, %g2
    bgeu    2f
    nop
    st      %g0, [%g1]
    ba      1b
    add     %g1, 4, %g1
2:  wr      %g0, 0xfe0, %psr            /* traps on */
    nop; nop; nop
    call    main
    nop
    call    target_exit
    nop

/* Saves the oldest window; the invalid one moves on by one of eight. */
window_overflow:
    mov     %g1, %l7
    srl     %l3, 1, %g1
    sll     %l3, 7, %l4
    or      %l4, %g1, %g1
    save
    wr      %g1, %wim
    nop; nop; nop
    std     %l0, [%sp]
    std     %l2, [%sp + 8]
    std     %l4, [%sp + 16]
    std     %l6, [%sp + 24]
    std     %i0, [%sp + 32]
    std     %i2, [%sp + 40]
    std     %i4, [%sp + 48]
    std     %i6, [%sp + 56]
    restore
    mov     %l7, %g1
    jmp     %l1
    rett    %l2

/* Loads the window that a restore is about to enter. */
window_underflow:
    sll     %l3, 1, %l4
    srl     %l3, 7, %l5
    or      %l5, %l4, %l5
    wr      %l5, %wim
    nop; nop; nop
    restore
    restore
    ldd     [%sp], %l0
    ldd     [%sp + 8], %l2
    ldd     [%sp + 16], %l4
    ldd     [%sp + 24], %l6
    ldd     [%sp + 32], %i0
    ldd     [%sp + 40], %i2
    ldd     [%sp + 48], %i4
    ldd     [%sp + 56], %i6
    save
    save
    jmp     %l1
    rett    %l2

/* Any other trap ends the run. No window is invalid any more, so that the calls below cannot trap. */
trapped:
    wr      %g0, %wim
    nop; nop; nop
    set     _stack_top - 96, %sp
    call    target_trapped
    mov     %l3, %o0

/* With traps off, a software trap powers QEMU's LEON3 off. */
    .global target_exit
target_exit:
    rd      %psr, %g1
    andn    %g1, 0x20, %g1
    wr      %g1, %psr
    nop; nop; nop
    ta      0
    nop
