//! Between values and bytes.
//!
//! [`Serde`] is what a topic or a store needs; [`HasSerde`] says which one a type uses where nothing else is said. A type of
//! one's own that is JSON on the wire is one line: `impl HasSerde for Order { fn serde() -> SerdeOf<Self> { serdes::json() } }`.
//! Numbers are big-endian, strings UTF-8, as Kafka's own serdes have them.

use crate::record::{Data, Window, Windowed};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// Writes and reads one type. Null is not its business: a null never reaches it.
pub trait Serde<T>: Send + Sync {
    /// The bytes of a value.
    ///
    /// # Errors
    ///
    /// Why there are none, in words for the operator.
    fn serialize(&self, topic: &str, value: &T) -> Result<Bytes, String>;

    /// The value in the bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<T, String>;

    /// The bytes that choose the partition of a key, where they are not all of it: the window of a windowed key is left
    /// out, so that all windows of a key share a partition.
    ///
    /// # Errors
    ///
    /// As for [`Self::serialize`].
    fn partition_bytes(&self, _topic: &str, _value: &T) -> Result<Option<Bytes>, String> {
        Ok(None)
    }
}

/// A shared serde.
pub type SerdeOf<T> = Arc<dyn Serde<T>>;

/// A type with a serde of its own.
pub trait HasSerde: Data {
    /// The serde that is used where no other was given.
    fn serde() -> SerdeOf<Self>;
}

struct BytesSerde;

impl Serde<Bytes> for BytesSerde {
    fn serialize(&self, _topic: &str, value: &Bytes) -> Result<Bytes, String> {
        Ok(value.clone())
    }

    fn deserialize(&self, _topic: &str, bytes: &Bytes) -> Result<Bytes, String> {
        Ok(bytes.clone())
    }
}

impl HasSerde for Bytes {
    fn serde() -> SerdeOf<Self> {
        Arc::new(BytesSerde)
    }
}

struct StringSerde;

impl Serde<String> for StringSerde {
    fn serialize(&self, _topic: &str, value: &String) -> Result<Bytes, String> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn deserialize(&self, _topic: &str, bytes: &Bytes) -> Result<String, String> {
        // Java's deserializer puts a replacement character for what is not UTF-8, and does not fail.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

impl HasSerde for String {
    fn serde() -> SerdeOf<Self> {
        Arc::new(StringSerde)
    }
}

macro_rules! number {
    ($number:ty) => {
        impl Serde<$number> for PhantomData<$number> {
            fn serialize(&self, _topic: &str, value: &$number) -> Result<Bytes, String> {
                Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
            }

            fn deserialize(&self, _topic: &str, bytes: &Bytes) -> Result<$number, String> {
                let bytes = bytes.as_ref().try_into().map_err(|_| {
                    format!(
                        "expected {} bytes for {}, found {}",
                        size_of::<$number>(),
                        stringify!($number),
                        bytes.len()
                    )
                })?;
                Ok(<$number>::from_be_bytes(bytes))
            }
        }

        impl HasSerde for $number {
            fn serde() -> SerdeOf<Self> {
                Arc::new(PhantomData::<$number>)
            }
        }
    };
}

number!(i64);
number!(i32);
number!(i16);
number!(f64);
number!(f32);

struct JsonSerde;

impl<T: Serialize + DeserializeOwned> Serde<T> for JsonSerde {
    fn serialize(&self, _topic: &str, value: &T) -> Result<Bytes, String> {
        serde_json::to_vec(value).map(Bytes::from).map_err(|error| error.to_string())
    }

    fn deserialize(&self, _topic: &str, bytes: &Bytes) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// JSON by way of serde.
#[must_use]
pub fn json<T: Serialize + DeserializeOwned>() -> SerdeOf<T> {
    Arc::new(JsonSerde)
}

impl HasSerde for serde_json::Value {
    fn serde() -> SerdeOf<Self> {
        json()
    }
}

/// Keys of tumbling, hopping and sliding windows: the key, then the start of the window. The end is not written, so
/// reading needs the size.
struct TimeWindowedSerde<K> {
    inner: SerdeOf<K>,
    size_ms: i64,
}

/// See [`Windowed`]: `[key][8 B start]`.
#[must_use]
pub fn time_windowed<K: Data>(inner: SerdeOf<K>, size_ms: i64) -> SerdeOf<Windowed<K>> {
    Arc::new(TimeWindowedSerde { inner, size_ms })
}

impl<K: Data> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>) -> Result<Bytes, String> {
        let key = self.inner.serialize(topic, &value.key)?;
        let mut bytes = BytesMut::with_capacity(key.len() + 8);
        bytes.put_slice(&key);
        bytes.put_i64(value.window.start_ms);
        Ok(bytes.freeze())
    }

    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<Windowed<K>, String> {
        let (key, [start_ms]) = split_times(bytes)?;
        let end_ms = start_ms.saturating_add(self.size_ms);
        let key = self.inner.deserialize(topic, &key)?;
        Ok(Windowed { key, window: Window { start_ms, end_ms } })
    }

    fn partition_bytes(&self, topic: &str, value: &Windowed<K>) -> Result<Option<Bytes>, String> {
        self.inner.serialize(topic, &value.key).map(Some)
    }
}

/// Tables know their windows and carry their own serdes; this one is for a windowed key that comes from nowhere: the end of
/// its window is then unknown.
impl<K: HasSerde> HasSerde for Windowed<K> {
    fn serde() -> SerdeOf<Self> {
        time_windowed(K::serde(), i64::MAX)
    }
}

struct SessionWindowedSerde<K> {
    inner: SerdeOf<K>,
}

/// Keys of session windows: `[key][8 B end][8 B start]`.
#[must_use]
pub fn session_windowed<K: Data>(inner: SerdeOf<K>) -> SerdeOf<Windowed<K>> {
    Arc::new(SessionWindowedSerde { inner })
}

impl<K: Data> Serde<Windowed<K>> for SessionWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>) -> Result<Bytes, String> {
        let key = self.inner.serialize(topic, &value.key)?;
        let mut bytes = BytesMut::with_capacity(key.len() + 16);
        bytes.put_slice(&key);
        bytes.put_i64(value.window.end_ms);
        bytes.put_i64(value.window.start_ms);
        Ok(bytes.freeze())
    }

    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<Windowed<K>, String> {
        let (key, [end_ms, start_ms]) = split_times(bytes)?;
        let key = self.inner.deserialize(topic, &key)?;
        Ok(Windowed { key, window: Window { start_ms, end_ms } })
    }

    fn partition_bytes(&self, topic: &str, value: &Windowed<K>) -> Result<Option<Bytes>, String> {
        self.inner.serialize(topic, &value.key).map(Some)
    }
}

/// Cuts `N` times of eight bytes off the end.
fn split_times<const N: usize>(bytes: &Bytes) -> Result<(Bytes, [i64; N]), String> {
    let at = bytes.len().checked_sub(8 * N).ok_or_else(|| {
        format!("a windowed key has at least {} bytes, found {}", 8 * N, bytes.len())
    })?;
    let mut times = [0; N];
    for (time, chunk) in times.iter_mut().zip(bytes[at..].chunks_exact(8)) {
        *time = i64::from_be_bytes(chunk.try_into().expect("chunks of eight bytes"));
    }
    Ok((bytes.slice(..at), times))
}
