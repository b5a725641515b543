//! What may be around a snapshot: nothing, gzip, or snappy in snappy-java's framing.
//!
//! ```text
//! snappy-java   82 "SNAPPY" 00   version:int=1   compatible:int=1
//!               then chunks: length:int, that many bytes of raw snappy (32 KiB or less unpacked)
//! ```

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How a snapshot is compressed; the last part of its name says so (`SnapStream.StreamMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy-java's stream: not the snappy framing format.
    Snappy,
}

/// First bytes of a gzip file.
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a snappy-java stream.
pub const SNAPPY_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Plain bytes in one chunk, as snappy-java writes it.
const SNAPPY_CHUNK: usize = 32 << 10;
/// Plain bytes in one chunk, as we are willing to read it.
const SNAPPY_CHUNK_MAX: usize = 64 << 20;

impl Compression {
    /// From the setting `zookeeper.snapshot.compression.method`: anything unknown means none.
    pub fn from_setting(value: &str) -> Self {
        match value {
            "gz" => Self::Gzip,
            "snappy" => Self::Snappy,
            _ => Self::None,
        }
    }

    /// From a file name.
    pub fn from_name(name: &str) -> Self {
        match name.rsplit('.').next().map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Self::Gzip,
            Some("snappy") => Self::Snappy,
            _ => Self::None,
        }
    }

    /// What it adds to a name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// Plain bytes from compressed ones.
    pub fn reader<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(buffered(input))),
            Self::Snappy => Box::new(SnappyReader::new(buffered(input))?),
        })
    }
}

/// Compresses what is written into a vector that the caller empties.
pub(super) enum Packer {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Snappy(Box<SnappyWriter>),
}

impl Packer {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => {
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))
            }
            Compression::Snappy => Self::Snappy(Box::new(SnappyWriter::new())),
        }
    }

    pub(super) fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        match self {
            Self::None(out) => out.extend_from_slice(plain),
            Self::Gzip(encoder) => encoder.write_all(plain)?,
            Self::Snappy(writer) => writer.write(plain)?,
        }
        Ok(())
    }

    /// What is ready to go to the file.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::None(out) => out,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Snappy(writer) => &mut writer.out,
        }
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::None(_) => Ok(()),
            Self::Gzip(encoder) => encoder.try_finish(),
            Self::Snappy(writer) => writer.flush_chunk(),
        }
    }
}

pub(super) struct SnappyWriter {
    plain: Vec<u8>,
    encoder: snap::raw::Encoder,
    packed: Vec<u8>,
    out: Vec<u8>,
}

impl SnappyWriter {
    fn new() -> Self {
        let mut out = SNAPPY_MAGIC.to_vec();
        out.extend_from_slice(&1i32.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
        Self {
            plain: Vec::with_capacity(SNAPPY_CHUNK),
            encoder: snap::raw::Encoder::new(),
            packed: vec![0; snap::raw::max_compress_len(SNAPPY_CHUNK)],
            out,
        }
    }

    fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        while !plain.is_empty() {
            let n = plain.len().min(SNAPPY_CHUNK - self.plain.len());
            self.plain.extend_from_slice(&plain[..n]);
            plain = &plain[n..];
            if self.plain.len() == SNAPPY_CHUNK {
                self.flush_chunk()?;
            }
        }
        Ok(())
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let n = self.encoder.compress(&self.plain, &mut self.packed).map_err(io::Error::other)?;
        let length = i32::try_from(n).expect("a chunk of 32 KiB does not grow to 2 GiB");
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(&self.packed[..n]);
        self.plain.clear();
        Ok(())
    }
}

/// Unpacks snappy-java's stream. Memory is bounded by the chunk in hand.
struct SnappyReader<R> {
    input: R,
    decoder: snap::raw::Decoder,
    packed: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> SnappyReader<R> {
    fn new(mut input: R) -> io::Result<Self> {
        let mut header = [0; 16];
        input.read_exact(&mut header)?;
        if header[..8] != SNAPPY_MAGIC {
            return Err(invalid("not a snappy-java stream".to_owned()));
        }
        let (packed, plain) = (Vec::new(), Vec::new());
        Ok(Self { input, decoder: snap::raw::Decoder::new(), packed, plain, at: 0 })
    }

    /// Unpacks the next chunk; false at the end.
    fn next_chunk(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        match self.input.read(&mut length[..1])? {
            0 => return Ok(false),
            _ => self.input.read_exact(&mut length[1..])?,
        }
        let packed = usize::try_from(i32::from_be_bytes(length))
            .ok()
            .filter(|n| *n <= snap::raw::max_compress_len(SNAPPY_CHUNK_MAX))
            .ok_or_else(|| invalid("unreasonable length of a snappy chunk".to_owned()))?;
        self.packed.clear();
        let read = self.input.by_ref().take(packed as u64).read_to_end(&mut self.packed)?;
        if read < packed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let plain = snap::raw::decompress_len(&self.packed).map_err(|e| invalid(e.to_string()))?;
        if plain > SNAPPY_CHUNK_MAX {
            return Err(invalid("a snappy chunk is too large".to_owned()));
        }
        self.plain.resize(plain, 0);
        self.at = 0;
        let n = self
            .decoder
            .decompress(&self.packed, &mut self.plain)
            .map_err(|e| invalid(e.to_string()))?;
        self.plain.truncate(n);
        Ok(true)
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if !self.next_chunk()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.plain.len() - self.at);
        buffer[..n].copy_from_slice(&self.plain[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn buffered<R: Read>(input: R) -> io::BufReader<R> {
    io::BufReader::with_capacity(256 << 10, input)
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
