//! Connections that read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::file::Place;
use super::trouble::{self, Trouble};
use crate::error::StoreError;

/// How many read at once; others wait.
const READERS: usize = 4;

/// A few connections, each opened when it is first needed.
#[derive(Debug)]
pub(super) struct Readers {
    place: Arc<Place>,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
}

impl Readers {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self {
            place,
            idle: Mutex::default(),
            room: Semaphore::new(READERS),
        }
    }

    /// Reads from one state of the file, whatever is written meanwhile.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _room = self.room.acquire().await.expect("it is never closed");
        let readers = self.clone();
        let answer = spawn_blocking(move || readers.look(look)).await;
        match answer {
            Ok(answer) => answer.map_err(|trouble| trouble.about(&self.place.file)),
            Err(_) => Err(trouble::closed(&self.place.file)),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let idle = self.idle().pop();
        let mut db = match idle {
            Some(db) => db,
            None => self.place.reader()?,
        };
        let answer = {
            let tx = db.transaction()?;
            look(&tx)
        };
        self.idle().push(db);
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
