//! A file that takes another's place when it is whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pinfetch_client::RequestError;

/// A file beside the one that it shall replace. Dropped before [`finish`](Self::finish), it is removed.
pub(crate) struct Replacement {
    file: Option<File>,
    place: PathBuf,
    path: PathBuf,
    length: u64,
    is_finished: bool,
}

impl Replacement {
    /// Creates a file beside `path`.
    ///
    /// # Errors
    /// [`RequestError::File`].
    pub(crate) async fn create(path: PathBuf) -> Result<Self, RequestError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}.part", std::process::id()));
        let place = path.with_file_name(name);
        let created = blocking(&path, {
            let place = place.clone();
            move || File::options().write(true).create_new(true).open(place)
        });
        let file = created.await?;
        Ok(Self {
            file: Some(file),
            place,
            path,
            length: 0,
            is_finished: false,
        })
    }

    /// Appends `bytes`; gives their buffer back, empty.
    pub(crate) async fn write(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        let Some(mut file) = self.file.take() else {
            return Err(RequestError::Internal(
                "a file was written after a failure".into(),
            ));
        };
        let length = bytes.len() as u64;
        let written = blocking(&self.path, move || {
            file.write_all(&bytes)?;
            bytes.clear();
            Ok((file, bytes))
        });
        let (file, bytes) = written.await?;
        self.file = Some(file);
        self.length += length;
        Ok(bytes)
    }

    /// Puts the file in its place; its length in bytes.
    pub(crate) async fn finish(mut self) -> Result<u64, RequestError> {
        let file = self.file.take();
        let (place, path) = (self.place.clone(), self.path.clone());
        let moved = blocking(&self.path, move || {
            drop(file);
            std::fs::rename(place, path)
        });
        moved.await?;
        self.is_finished = true;
        Ok(self.length)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_finished {
            drop(self.file.take());
            let _ = std::fs::remove_file(&self.place); // what can't be removed is named as what it is
        }
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RequestError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| RequestError::Internal("writing a file was interrupted".into()))?
        .map_err(|source| RequestError::File {
            path: path.into(),
            source: source.into(),
        })
}
