"""C99 printed from the integer model, and the machines it is built, run and counted on."""
