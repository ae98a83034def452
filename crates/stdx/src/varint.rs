//! Variable-length integers, seven bits a byte, least significant first, as in Protocol Buffers.
//!
//! The unsigned form is `take_u32`/`put_u32`, the zigzag form `take_i32`/`put_i32`; the same for 64
//! bits. A longer form than necessary is read, as every other reader of these formats does; a form
//! that goes on after the last bit is an error.

use bytes::BufMut;

/// Bytes that do not begin with a variable-length integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarintError {
    /// The bytes end before the integer does.
    Truncated,
    /// The integer goes on after as many bytes as its type can need.
    Overlong,
}

/// Takes an unsigned 32-bit integer of at most five bytes from the front of `input`.
#[inline]
pub fn take_u32(input: &mut &[u8]) -> Result<u32, VarintError> {
    // The fifth byte carries bits beyond the 32nd; they are dropped, as every reader does.
    take::<5>(input).map(|value| (value & 0xffff_ffff) as u32)
}

/// Takes an unsigned 64-bit integer of at most ten bytes from the front of `input`.
#[inline]
pub fn take_u64(input: &mut &[u8]) -> Result<u64, VarintError> {
    take::<10>(input)
}

/// Takes a zigzag 32-bit integer from the front of `input`.
#[inline]
pub fn take_i32(input: &mut &[u8]) -> Result<i32, VarintError> {
    take_u32(input).map(|raw| (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Takes a zigzag 64-bit integer from the front of `input`.
#[inline]
pub fn take_i64(input: &mut &[u8]) -> Result<i64, VarintError> {
    take_u64(input).map(|raw| (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Appends an unsigned 32-bit integer to `out`.
#[inline]
pub fn put_u32(out: &mut impl BufMut, value: u32) {
    put_u64(out, u64::from(value));
}

/// Appends an unsigned 64-bit integer to `out`.
#[inline]
pub fn put_u64(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

/// Appends a zigzag 32-bit integer to `out`.
#[inline]
pub fn put_i32(out: &mut impl BufMut, value: i32) {
    put_u32(out, zigzag_i32(value));
}

/// Appends a zigzag 64-bit integer to `out`.
#[inline]
pub fn put_i64(out: &mut impl BufMut, value: i64) {
    put_u64(out, zigzag_i64(value));
}

/// Bytes that `value` occupies in its unsigned form.
#[inline]
#[must_use]
pub fn size_u32(value: u32) -> usize {
    size_u64(u64::from(value))
}

/// Bytes that `value` occupies in its unsigned form.
#[inline]
#[must_use]
pub fn size_u64(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Bytes that `value` occupies in its zigzag form.
#[inline]
#[must_use]
pub fn size_i32(value: i32) -> usize {
    size_u32(zigzag_i32(value))
}

/// Bytes that `value` occupies in its zigzag form.
#[inline]
#[must_use]
pub fn size_i64(value: i64) -> usize {
    size_u64(zigzag_i64(value))
}

#[inline]
fn zigzag_i32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
fn zigzag_i64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Takes an integer of at most `BYTES_MAX` bytes; bits beyond 64 are dropped.
#[inline]
fn take<const BYTES_MAX: usize>(input: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0;
    for (index, byte) in input.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Ok(value);
        }
    }
    Err(if input.len() < BYTES_MAX { VarintError::Truncated } else { VarintError::Overlong })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_take_the_bytes_that_were_foretold() {
        let powers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]);
        for value in powers.chain([u64::MAX]) {
            check(value, put_u64, take_u64, size_u64);
            check(value as u32, put_u32, take_u32, size_u32);
            for signed in [value as i64, (value as i64).wrapping_neg()] {
                check(signed, put_i64, take_i64, size_i64);
                check(signed as i32, put_i32, take_i32, size_i32);
            }
        }
    }

    fn check<T: Copy + PartialEq + std::fmt::Debug>(
        value: T,
        put: fn(&mut Vec<u8>, T),
        take: fn(&mut &[u8]) -> Result<T, VarintError>,
        size: fn(T) -> usize,
    ) {
        let mut bytes = Vec::new();
        put(&mut bytes, value);
        assert_eq!(bytes.len(), size(value), "{value:?}");
        for cut in 0..bytes.len() {
            assert_eq!(take(&mut &bytes[..cut]), Err(VarintError::Truncated), "{value:?}");
        }
        bytes.push(0xee);
        let mut input = bytes.as_slice();
        assert_eq!(take(&mut input), Ok(value));
        assert_eq!(input, [0xee], "nothing more is taken");
    }

    #[test]
    fn known_bytes() {
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-65, &[0x81, 1])] {
            let mut out = Vec::new();
            put_i32(&mut out, value);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn an_integer_that_does_not_end_is_an_error() {
        assert_eq!(take_u32(&mut &[0x80; 5][..]), Err(VarintError::Overlong));
        assert_eq!(take_u32(&mut &[0x80; 4][..]), Err(VarintError::Truncated));
        assert_eq!(take_u64(&mut &[0x80; 10][..]), Err(VarintError::Overlong));
        assert_eq!(take_u64(&mut &[0xff; 9][..]), Err(VarintError::Truncated));
        assert_eq!(take_u32(&mut &[0x80, 0][..]), Ok(0), "longer than necessary is read");
    }
}
