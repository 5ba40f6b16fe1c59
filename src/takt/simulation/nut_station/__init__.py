"""The nut-installation station in MuJoCo: geometry and thresholds are frozen in docs/station.md."""
