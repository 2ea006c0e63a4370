//! A file that takes another's place when it is whole.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pinfetch_client::RequestError;

/// How many symbolic links are followed, as Linux does it.
const MOST_LINKS: usize = 40;

/// A file beside the one that it shall replace. Dropped before [`finish`](Self::finish), it is removed.
pub(crate) struct Replacement {
    file: Option<File>,
    path: PathBuf,
    /// Where the file is, and whose place it shall take: none once it has, and for what is no file, which is written to.
    moves: Option<Move>,
    length: u64,
}

#[derive(Clone)]
struct Move {
    from: PathBuf,
    to: PathBuf,
}

impl Replacement {
    /// Creates a file beside `path`, or beside the file that the symbolic link `path` leads to; of the mode that this has.
    /// What is no file, such as a device or a pipe, is opened.
    ///
    /// # Errors
    /// [`RequestError::File`].
    pub(crate) async fn create(path: PathBuf) -> Result<Self, RequestError> {
        let (file, moves) = blocking(&path, {
            let path = path.clone();
            move || open(target(path))
        })
        .await?;
        Ok(Self {
            file: Some(file),
            path,
            moves,
            length: 0,
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
        let steps = self.moves.clone();
        let moved = blocking(&self.path, move || {
            drop(file);
            steps.map_or(Ok(()), |Move { from, to }| std::fs::rename(from, to))
        });
        moved.await?;
        self.moves = None;
        Ok(self.length)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(Move { from, .. }) = self.moves.take() {
            drop(self.file.take());
            let _ = std::fs::remove_file(from); // what can't be removed is named as what it is
        }
    }
}

fn open(path: PathBuf) -> io::Result<(File, Option<Move>)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let known = match std::fs::metadata(&path) {
        Ok(known) => Some(known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        return Ok((File::options().write(true).open(path)?, None));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{number}.part", std::process::id()));
    let from = path.with_file_name(name);
    let file = create_new(&from, known.as_ref())?;
    Ok((file, Some(Move { from, to: path })))
}

/// A new file of the mode of `known`: readable to nobody, at no time, to whom that is not.
#[cfg(unix)]
fn create_new(path: &Path, known: Option<&Metadata>) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    let mut options = File::options();
    options.write(true).create_new(true);
    let Some(bits) = known.map(|known| known.permissions().mode() & 0o7777) else {
        return options.open(path);
    };
    let file = options.mode(bits).open(path)?;
    let exact = file.set_permissions(std::fs::Permissions::from_mode(bits)); // whatever the umask is
    if let Err(error) = exact {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

#[cfg(not(unix))]
fn create_new(path: &Path, _: Option<&Metadata>) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// Where the symbolic link `path` leads, be there a file yet or not; `path` where it is none.
fn target(mut path: PathBuf) -> PathBuf {
    for _ in 0..MOST_LINKS {
        let Ok(next) = std::fs::read_link(&path) else {
            break;
        };
        path.pop();
        path.push(next); // `..` is the file system's to resolve
    }
    path
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
