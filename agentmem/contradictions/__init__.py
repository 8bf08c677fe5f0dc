"""Finds memories that contradict earlier ones when they are added, by their words alone.

A short statement of how things are ("the stand-up is at 9:15") is compared with the nearest of the
same speaker's earlier memories. Two contradict each other if they are about the same thing of the
same person and give it different values: either the same sentence with another value, or one that
says that something changed ("the stand-up moves to 9:30"). What happened once ("had lunch with
Tom") contradicts nothing. Only English is read, and what is not certain is left out.

What is found is a candidate: it is shown, it decides the order of a recall about now, and it
deletes nothing; see `agentmem.Memory.conflicts`.
"""
