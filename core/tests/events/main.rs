//! Decoders, encoders and the event front end.
mod decoders;
mod front_end;
mod recordings;
mod support;
