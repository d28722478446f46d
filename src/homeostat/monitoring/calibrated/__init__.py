"""Calibrated drift: has it moved by more than chance, by enough to matter, and how often is that said in vain?"""
