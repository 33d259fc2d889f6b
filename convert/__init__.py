"""Weights in and out. (Filled by the conversion work: hub folders, OpenCLIP, HF CLIP.)"""
