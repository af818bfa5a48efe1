"""Sky, telescope, detector, imaging, trigger, time line, and the trigger + classifier chain."""
