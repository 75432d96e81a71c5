//! Release folder: the files from which tasks without a blob take their content, opened beneath it without symbolic links.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{Release, ReleaseSource};
use pilothouse_core::{Error, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 16;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A FIFO must not be waited for, and a terminal not become the server's.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Releases in the folder of `release_root`.
#[derive(Debug)]
pub(crate) struct FolderReleases(PathBuf);

/// Open file of a release.
#[derive(Debug)]
struct OpenRelease {
    file: Arc<File>,
    size: i64,
}

impl FolderReleases {
    /// Over a folder, which is opened anew for each release: it may be a link that is set to the newest one.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        rustix::fs::open(folder, FOLDER, Mode::empty())?;
        Ok(Self(folder.to_owned()))
    }
}

#[async_trait]
impl ReleaseSource for FolderReleases {
    async fn open(&self, path: &str) -> Result<Box<dyn Release>> {
        let (root, path) = (self.0.clone(), path.trim_start_matches('/').to_owned());
        let opened = blocking(move || {
            let root = rustix::fs::open(&root, FOLDER, Mode::empty());
            let root = root.map_err(|error| Error::Unavailable(format!("release_root: {error}")))?;
            let file = File::from(open_beneath(root, &path).map_err(refused)?);
            let metadata = file.metadata().map_err(failed)?;
            if !metadata.is_file() {
                return Err(Error::invalid("content", "is not a regular file beneath release_root"));
            }
            Ok(OpenRelease { file: Arc::new(file), size: i64::try_from(metadata.len()).unwrap_or(i64::MAX) })
        });
        Ok(Box::new(opened.await?))
    }
}

#[async_trait]
impl Release for OpenRelease {
    fn size(&self) -> i64 {
        self.size
    }

    async fn sha256(&self) -> Result<Sha256Digest> {
        let (file, size) = (self.file.clone(), self.size.unsigned_abs());
        blocking(move || {
            let (mut hash, mut offset, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
            while offset < size {
                let most = usize::try_from(size - offset).unwrap_or(PIECE).min(PIECE);
                let read = file.read_at(&mut piece[..most], offset).map_err(failed)?;
                if read == 0 {
                    return Err(Error::conflict("the file of the release was cut short while it was read"));
                }
                hash.update(&piece[..read]);
                offset += read as u64;
            }
            Ok(Sha256Digest(hash.finalize().into()))
        })
        .await
    }

    async fn read(&self, offset: i64, most: usize) -> Result<Vec<u8>> {
        let file = self.file.clone();
        blocking(move || {
            let mut bytes = vec![0; most];
            let mut filled = 0;
            while filled < most {
                match file.read_at(&mut bytes[filled..], offset.unsigned_abs() + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) => return Err(failed(error)),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
        .await
    }
}

/// Opens a file beneath a folder, by `openat2` or, where the kernel or a filter of system calls has none, component by
/// component.
fn open_beneath(root: OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, path, FILE, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(root, path),
        opened => opened,
    }
}

fn open_by_component(root: OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let mut folder = root;
    let mut rest = path;
    while let Some((name, below)) = rest.split_once('/') {
        if name == ".." {
            return Err(Errno::XDEV);
        }
        folder = rustix::fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        rest = below;
    }
    if rest == ".." {
        return Err(Errno::XDEV);
    }
    rustix::fs::openat(&folder, rest, FILE, Mode::empty())
}

fn refused(error: Errno) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {
            Error::not_found("the file of that name beneath release_root")
        }
        Errno::LOOP | Errno::XDEV => {
            Error::invalid("content", "must not lead through a symbolic link beneath release_root")
        }
        Errno::NXIO => Error::invalid("content", "is not a regular file beneath release_root"),
        Errno::ACCESS => Error::Unavailable("the server may not read that file of release_root".to_owned()),
        error => failed(error.into()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn failed(error: std::io::Error) -> Error {
    Error::Internal(format!("a release: {error}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(format!("a release: {error}")))?
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use pilothouse_core::ErrorKind as Kind;

    use super::*;

    #[tokio::test]
    async fn a_file_is_opened_beneath_the_folder_alone() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path().join("etc/nginx")).unwrap();
        fs::write(folder.path().join("etc/nginx/nginx.conf"), "workers 4;").unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path().join("secret"), folder.path().join("etc/link")).unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        let releases = FolderReleases::open(folder.path()).unwrap();
        let release = releases.open("/etc/nginx/nginx.conf").await.unwrap();
        let digest = Sha256Digest(Sha256::digest("workers 4;").into());
        assert_eq!((release.size(), release.sha256().await.unwrap()), (10, digest));
        assert_eq!(release.read(0, 100).await.unwrap(), b"workers 4;");
        assert_eq!(release.read(8, 1).await.unwrap(), b"4");
        assert_eq!(release.read(10, 1).await.unwrap(), b"");
        for (path, kind) in [
            ("/etc/nginx/none", Kind::NotFound),
            ("/none/nginx.conf", Kind::NotFound),
            ("/etc/nginx/nginx.conf/x", Kind::NotFound),
            ("/etc/nginx", Kind::Invalid),
            ("/etc/link", Kind::Invalid),
            ("/out/secret", Kind::Invalid),
            ("/../secret", Kind::Invalid),
        ] {
            assert_eq!(releases.open(path).await.unwrap_err().kind(), kind, "{path}");
        }
        assert!(FolderReleases::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn without_openat2_no_link_is_followed_either() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/motd"), "hello").unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path().join("secret"), folder.path().join("etc/link")).unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        let open = |path: &str| {
            let root = rustix::fs::open(folder.path(), FOLDER, Mode::empty()).unwrap();
            open_by_component(root, path).map(|_| ())
        };
        assert_eq!(open("etc/motd"), Ok(()));
        for path in ["etc/link", "out/secret", "../secret", "etc/../../secret", "etc/.."] {
            assert!(open(path).is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_fifo_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let releases = FolderReleases::open(folder.path()).unwrap();
        assert_eq!(releases.open("/pipe").await.unwrap_err().kind(), Kind::Invalid);
    }
}
