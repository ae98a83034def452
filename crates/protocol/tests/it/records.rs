//! Record batches.

mod codecs;
mod hostile;
mod java;
mod legacy;
mod round_trip;
mod sample;
