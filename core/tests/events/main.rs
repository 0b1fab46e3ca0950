//! Decoders, encoders and the event front end.
mod decoders;
mod front_end;
mod model;
mod recordings;
mod support;
