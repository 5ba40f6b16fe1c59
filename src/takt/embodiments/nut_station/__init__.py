"""The bimanual nut-installation station: two 6-DoF arms with parallel grippers and three cameras."""
