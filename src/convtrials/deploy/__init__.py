"""Finished runs at work: export, quantisation, and what each way of running costs."""
