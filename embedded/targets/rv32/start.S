/* Start-up of an RV32 hart in machine mode: trap handler, stack, clear memory, main. */

    .section .text.start, "ax"
    .global _start
_start:
    la      t0, trapped
    csrw    mtvec, t0
    la      sp, _stack_top
    la      t0, _bss
    la      t1, _ebss
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  call    main
    call    target_exit

    .align  2
trapped:
    csrr    a0, mcause
    call    target_trapped
