"""Short statements, and whether one contradicts another, by their words alone.

A statement says how something is ("the stand-up is at 9:15") or that it changed ("the stand-up
moves to 9:30"). Two contradict each other if they are about the same thing of the same person and
give it different values. What happened once ("had lunch with Tom") contradicts nothing. Only
English is read, and what is not certain is left out.
"""
