//! The shards of a coordinator: for each partition of its topic the state that is kept there, loaded
//! when somebody asks for it.

use crate::partition::Partition;
use crate::state_log::{LoadError, StateLog};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// One partition of the topic, with the state in it.
pub(crate) struct Shard<S> {
    log: StateLog,
    state: OnceCell<Mutex<S>>,
}

impl<S> Shard<S> {
    /// Where the state is written.
    pub(crate) fn log(&self) -> &StateLog {
        &self.log
    }

    /// The partition's number.
    pub(crate) fn index(&self) -> i32 {
        self.log.partition().index()
    }

    /// The state, if it is loaded.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, S>> {
        Some(self.state.get()?.lock())
    }
}

/// All shards, by partition.
pub(crate) struct Shards<S>(Mutex<BTreeMap<i32, Arc<Shard<S>>>>);

impl<S> Default for Shards<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> Shards<S> {
    /// The shard of a partition; `load` makes its state, once, however many ask at a time.
    ///
    /// # Errors
    /// What `load` says; the next one to ask tries again.
    pub(crate) async fn get<F>(
        &self,
        partition: &Arc<Partition>,
        load: impl FnOnce(Arc<Shard<S>>) -> F,
    ) -> Result<Arc<Shard<S>>, LoadError>
    where
        F: Future<Output = Result<S, LoadError>>,
    {
        let shard = {
            let mut shards = self.0.lock();
            // The topic may have been deleted and created again.
            let known = shards.get(&partition.index());
            let known = known.filter(|shard| Arc::ptr_eq(shard.log.partition(), partition));
            known.cloned().unwrap_or_else(|| {
                let log = StateLog::new(Arc::clone(partition));
                let shard = Arc::new(Shard { log, state: OnceCell::new() });
                shards.insert(partition.index(), Arc::clone(&shard));
                shard
            })
        };
        let again = Arc::clone(&shard);
        shard.state.get_or_try_init(|| async { load(again).await.map(Mutex::new) }).await?;
        Ok(shard)
    }

    /// The shards whose state is there.
    pub(crate) fn loaded(&self) -> Vec<Arc<Shard<S>>> {
        self.0.lock().values().filter(|shard| shard.state.initialized()).cloned().collect()
    }

    /// A shard whose state is there.
    pub(crate) fn at(&self, index: i32) -> Option<Arc<Shard<S>>> {
        self.0.lock().get(&index).filter(|shard| shard.state.initialized()).cloned()
    }

    /// Forgets a shard whose memory is ahead of its log: the next one to ask loads it anew.
    pub(crate) fn forget(&self, shard: &Arc<Shard<S>>) {
        let index = shard.index();
        tracing::warn!(partition = index, "a coordinator's change could not be written");
        let mut shards = self.0.lock();
        if shards.get(&index).is_some_and(|current| Arc::ptr_eq(current, shard)) {
            shards.remove(&index);
        }
    }
}
