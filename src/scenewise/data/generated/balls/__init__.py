"""Bouncing balls: R-NEM's and PROVIDE's, and DDPAE's."""
