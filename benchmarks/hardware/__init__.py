"""The figures of the generated hardware: cycles simulated, area synthesised, clocks routed."""
