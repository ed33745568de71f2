"""Does the engine run on this machine's GPU, does it give there what it gives on the CPU, and how near its floors?"""
