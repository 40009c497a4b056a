"""The wire: HTTP in, HTTP out. Nothing here touches the device."""
