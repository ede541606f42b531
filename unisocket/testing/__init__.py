"""What tests of WebSocket programs, and of adapters, need."""
