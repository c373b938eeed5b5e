//! NDJSON files, plain or compressed, a line at a time. Must not know records.

use crate::error::Error;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The longest line, in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 4 << 20;
const ZSTD_LEVEL: i32 = 9;

pub(super) fn file_error(path: &Path, cause: &std::io::Error) -> Error {
    Error::File { path: path.to_owned(), cause: cause.to_string() }
}

/// Opens a file for reading whatever its compression is, told by its first bytes; `-` is standard input. `seen` is told
/// of each byte read from the file itself.
pub(super) fn open(path: &Path, seen: impl Fn(u64) + Send + 'static) -> Result<Box<dyn BufRead + Send>, Error> {
    let io = |cause: std::io::Error| file_error(path, &cause);
    let raw: Box<dyn Read + Send> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).map_err(io)?),
    };
    let mut raw = BufReader::with_capacity(1 << 16, Counted { raw, seen });
    Ok(match raw.fill_buf().map_err(io)? {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let plain = zstd::stream::read::Decoder::with_buffer(raw).map_err(io)?;
            Box::new(BufReader::with_capacity(1 << 16, plain))
        }
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(raw))),
        _ => Box::new(raw),
    })
}

struct Counted<R, F> {
    raw: R,
    seen: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.raw.read(bytes)?;
        (self.seen)(read as u64);
        Ok(read)
    }
}

/// Writes lines; `.zst` and `.gz` by the file's name. A file appears under its name only when it is whole.
pub(super) struct Writer {
    to: To,
    file: Option<(PathBuf, PathBuf)>,
}

enum To {
    Plain(Box<dyn Write + Send>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
    Gzip(GzEncoder<File>),
}

impl Writer {
    pub(super) fn create(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self { to: To::Plain(Box::new(std::io::stdout())), file: None }) };
        let io = |cause: std::io::Error| file_error(path, &cause);
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = File::create(&new).map_err(io)?;
        let to = match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => To::Zstd(zstd::stream::write::Encoder::new(file, ZSTD_LEVEL).map_err(io)?),
            Some("gz") => To::Gzip(GzEncoder::new(file, Compression::default())),
            _ => To::Plain(Box::new(std::io::BufWriter::new(file))),
        };
        Ok(Self { to, file: Some((new, path.to_owned())) })
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Error> {
        let path = self.path();
        let to: &mut dyn Write = match &mut self.to {
            To::Plain(to) => to,
            To::Zstd(to) => to,
            To::Gzip(to) => to,
        };
        writeln!(to, "{line}").map_err(|cause| file_error(&path, &cause))
    }

    /// Ends the file and gives it its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        let path = self.path();
        let io = |cause: std::io::Error| file_error(&path, &cause);
        match self.to {
            To::Plain(mut to) => to.flush().map_err(io)?,
            To::Zstd(to) => drop(to.finish().map_err(io)?),
            To::Gzip(to) => drop(to.finish().map_err(io)?),
        }
        let Some((new, path)) = self.file else { return Ok(()) };
        let durable = File::open(&new).and_then(|file| file.sync_all());
        durable.and_then(|()| std::fs::rename(&new, &path)).map_err(|cause| file_error(&path, &cause))
    }

    fn path(&self) -> PathBuf {
        self.file.as_ref().map_or_else(|| PathBuf::from("-"), |(_, path)| path.clone())
    }
}

/// The next line without its end; `None` at the end of the file.
pub(super) fn next(from: &mut dyn BufRead, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut line = Vec::new();
    let read = from.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(|cause| file_error(path, &cause))?;
    if read as u64 > LINE_BYTES_MAX {
        let cause = format!("a line is longer than {LINE_BYTES_MAX} bytes");
        return Err(Error::File { path: path.to_owned(), cause });
    }
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok((read > 0).then_some(line))
}
