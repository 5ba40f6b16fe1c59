"""The bimanual nut-installation station: two 6-DoF arms, parallel grippers, three cameras."""
