"""How fast a device runs networks: tables of what their pieces cost, and measurements of whole networks.

`settings` is the section `latency` of a configuration, `table` the file of a device, `build` makes one here or a kit
that makes one elsewhere, `measure` is the part of both that stands alone.
"""
