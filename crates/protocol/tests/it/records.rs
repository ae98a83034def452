//! Record batches.

mod codecs;
mod hostile;
mod legacy;
mod round_trip;
mod sample;
