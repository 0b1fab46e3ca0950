//! Event-camera byte streams to events, windows and patches.
