//! NDJSON files, plain or compressed, a line at a time. Must not know records.

use crate::error::Error;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
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
    file: Option<NewFile>,
}

enum To {
    Plain(Box<dyn Write + Send>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
    Gzip(GzEncoder<File>),
}

/// A file that is being written beside the one it will replace. Removed again unless it gets its name.
struct NewFile {
    new: PathBuf,
    path: PathBuf,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After it got its name it is not there any more.
        let _ = std::fs::remove_file(&self.new);
    }
}

impl Writer {
    pub(super) fn create(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { to: To::Plain(Box::new(BufWriter::new(std::io::stdout()))), file: None });
        };
        let io = |cause: std::io::Error| file_error(path, &cause);
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = NewFile { new: PathBuf::from(new), path: path.to_owned() };
        let file = File::create(&new.new).map_err(io)?;
        let to = match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => To::Zstd(zstd::stream::write::Encoder::new(file, ZSTD_LEVEL).map_err(io)?),
            Some("gz") => To::Gzip(GzEncoder::new(file, Compression::default())),
            _ => To::Plain(Box::new(BufWriter::new(file))),
        };
        Ok(Self { to, file: Some(new) })
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Error> {
        let to: &mut dyn Write = match &mut self.to {
            To::Plain(to) => to,
            To::Zstd(to) => to,
            To::Gzip(to) => to,
        };
        writeln!(to, "{line}").map_err(|cause| file_error(self.path(), &cause))
    }

    /// Ends the file and gives it its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        let path = self.path().to_owned();
        let io = |cause: std::io::Error| file_error(&path, &cause);
        match self.to {
            To::Plain(mut to) => to.flush().map_err(io)?,
            To::Zstd(to) => drop(to.finish().map_err(io)?),
            To::Gzip(to) => drop(to.finish().map_err(io)?),
        }
        let Some(file) = self.file else { return Ok(()) };
        let durable = File::open(&file.new).and_then(|new| new.sync_all());
        durable.and_then(|()| std::fs::rename(&file.new, &file.path)).map_err(io)
    }

    fn path(&self) -> &Path {
        self.file.as_ref().map_or(Path::new("-"), |file| &file.path)
    }
}

/// A line of a file.
pub(super) enum Line {
    /// Without its end.
    Whole(Vec<u8>),
    /// Longer than [`LINE_BYTES_MAX`]; it has been passed over.
    TooLong,
}

/// The next line; `None` at the end of the file.
pub(super) fn next(from: &mut dyn BufRead, path: &Path) -> Result<Option<Line>, Error> {
    let io = |cause: std::io::Error| file_error(path, &cause);
    let mut line = Vec::new();
    let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(io)?;
    if read as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        from.skip_until(b'\n').map_err(io)?;
        return Ok(Some(Line::TooLong));
    }
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok((read > 0).then_some(Line::Whole(line)))
}
