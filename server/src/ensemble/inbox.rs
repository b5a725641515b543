//! Packets out of a stream: as many at once as came at once.
//!
//! Packets have no length in front; a packet is taken when all of it is there. Nothing is allocated
//! beyond twice what arrived. Transactions and requests are copied once, into chunks they share.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use bytes::Bytes;
use jute::data::Id;
use jute::quorum::kind;
use jute::{DecodeError, Reader};

use crate::base::Arena;
use crate::zab::Packet;

/// Bytes asked of the socket at once, and kept between reads.
const BUFFER_BYTES: usize = 256 * 1024;

/// Identities in one packet.
const IDENTITIES_MAX: usize = 1024;

/// What a packet may take beyond its data, which has the limit of a field: head and identities.
const EXTRA_MAX: usize = 1 << 20;

/// What arrived and is not taken yet.
pub(super) struct Inbox<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    field_max: usize,
    from_learner: bool,
    arena: Arena,
    /// The identities of the last packet that had some, as bytes and decoded: neighbours mostly share
    /// them.
    identities: (Vec<u8>, Arc<[Id]>),
}

impl<R: Read> Inbox<R> {
    pub(super) fn new(input: R, field_max: usize, from_learner: bool) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            field_max,
            from_learner,
            arena: Arena::default(),
            identities: (Vec::new(), Arc::new([])),
        }
    }

    /// Waits for more bytes.
    ///
    /// # Errors
    /// If the stream ends or breaks.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() != BUFFER_BYTES {
                // Zeros of a new allocation take no memory before they are written to.
                self.buffer = vec![0; BUFFER_BYTES];
            }
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.end).max(BUFFER_BYTES), 0);
            }
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next packet, if all of it is there.
    ///
    /// # Errors
    /// If what is there is no packet, or more than one may be.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, DecodeError> {
        let packet = self.take()?;
        let waiting = self.end - self.start;
        if packet.is_none() && waiting > self.field_max.saturating_add(EXTRA_MAX) {
            return Err(DecodeError::Value { what: "length of a packet", value: waiting as i64 });
        }
        Ok(packet)
    }

    fn take(&mut self) -> Result<Option<Packet>, DecodeError> {
        let bytes = &self.buffer[self.start..self.end];
        let mut input = Reader::with_limit(bytes, self.field_max);
        let Some(head) = head(&mut input)? else { return Ok(None) };
        let Some(data) = field(&mut input, self.field_max)? else { return Ok(None) };
        let Some(identities) = identities(&mut input, self.field_max, &mut self.identities)? else {
            return Ok(None);
        };
        let data = data.map(|data| match head.0 {
            kind::PROPOSAL | kind::INFORM | kind::REQUEST => self.arena.copy(data),
            _ => Bytes::copy_from_slice(data),
        });
        let used = input.position();
        let packet = Packet::from_parts(head, data, identities, self.from_learner)?;
        self.start += used;
        Ok(Some(packet))
    }

    /// Hands the stream itself, with what arrived and was not taken, to `read`, which returns what it
    /// took too much.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn lend(
        &mut self,
        read: impl FnOnce(&mut dyn Read) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        let mut here = Cursor::new(&self.buffer[self.start..self.end]);
        let mut rest = read(&mut here.by_ref().chain(&mut self.input))?;
        // It may have stopped before what arrived was used up.
        rest.extend_from_slice(&here.get_ref()[here.position() as usize..]);
        self.buffer = rest;
        (self.start, self.end) = (0, self.buffer.len());
        Ok(())
    }
}

/// Type and zxid.
fn head(input: &mut Reader<'_>) -> Result<Option<(i32, i64)>, DecodeError> {
    const HEAD: usize = 12;
    if input.remaining().len() < HEAD {
        return Ok(None);
    }
    Ok(Some((input.read()?, input.read()?)))
}

/// A string or buffer, which may be null, if all of it is there.
fn field<'a>(
    input: &mut Reader<'a>,
    field_max: usize,
) -> Result<Option<Option<&'a [u8]>>, DecodeError> {
    let Some(length) = length(input)? else { return Ok(None) };
    if length == -1 {
        return Ok(Some(None));
    }
    let size = match usize::try_from(length) {
        Ok(size) if size <= field_max => size,
        _ => return Err(DecodeError::Value { what: "unreasonable length", value: length.into() }),
    };
    if input.remaining().len() < size {
        return Ok(None);
    }
    input.take(size, "packet").map(|bytes| Some(Some(bytes)))
}

fn length(input: &mut Reader<'_>) -> Result<Option<i32>, DecodeError> {
    if input.remaining().len() < size_of::<i32>() { Ok(None) } else { input.read().map(Some) }
}

type Identities = Option<Arc<[Id]>>;

fn identities(
    input: &mut Reader<'_>,
    field_max: usize,
    last: &mut (Vec<u8>, Arc<[Id]>),
) -> Result<Option<Identities>, DecodeError> {
    let all = input.remaining();
    let begun = input.position();
    let Some(count) = length(input)? else { return Ok(None) };
    let Ok(count) = usize::try_from(count) else { return Ok(Some(None)) };
    if count > IDENTITIES_MAX {
        return Err(DecodeError::Value { what: "number of identities", value: count as i64 });
    }
    if count > 0 && all.starts_with(&last.0) && last.1.len() == count {
        input.take(last.0.len() - size_of::<i32>(), "identities")?;
        return Ok(Some(Some(last.1.clone())));
    }
    // Nothing is decoded before all of it is there.
    let mut fields = Vec::with_capacity(2 * count.min(8));
    for _ in 0..2 * count {
        let Some(field) = field(input, field_max)? else { return Ok(None) };
        fields.push(field);
    }
    let text =
        |field: Option<&[u8]>| field.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let pairs = fields.chunks_exact(2);
    let ids: Arc<[Id]> =
        pairs.map(|pair| Id { scheme: text(pair[0]), id: text(pair[1]) }).collect();
    *last = (all[..input.position() - begun].to_vec(), ids.clone());
    Ok(Some(Some(ids)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, SessionId, Zxid};
    use crate::zab::ForwardedRequest;
    use crate::zab::testing::proposal;

    /// Gives the bytes away in pieces of these sizes, in turn.
    struct Pieces<'a>(&'a [u8], Vec<usize>, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1[self.2 % self.1.len()].min(buffer.len()).min(self.0.len());
            self.2 += 1;
            buffer[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn request(cxid: i32, body: usize, identities: Option<&[(&str, &str)]>) -> Packet {
        let id = |(scheme, id): &(&str, &str)| Id {
            scheme: Some((*scheme).to_owned()),
            id: Some((*id).to_owned()),
        };
        Packet::Request(ForwardedRequest {
            session: SessionId(7),
            cxid,
            op: 5,
            body: vec![cxid as u8; body].into(),
            identities: identities.map(|ids| ids.iter().map(id).collect()),
        })
    }

    fn packets() -> Vec<Packet> {
        let zxid = |counter| Zxid::new(Epoch(2), counter);
        vec![
            request(1, 0, None),
            request(2, 3000, Some(&[])),
            request(3, 10, Some(&[("ip", "127.0.0.1")])),
            request(4, 10, Some(&[("ip", "127.0.0.1")])),
            // As long as the one before, and beginning like it.
            request(5, 10, Some(&[("ip", "127.0.0.2")])),
            request(6, 10, Some(&[("ip", "127.0.0.2"), ("digest", "a:b")])),
            request(7, 900_000, Some(&[("ip", "127.0.0.2")])),
            Packet::Ack(zxid(3)),
            Packet::Ping { zxid: zxid(4), touched: Some(vec![(SessionId(1), 2)]) },
            Packet::Ack(zxid(5)),
        ]
    }

    fn take_all(inbox: &mut Inbox<Pieces<'_>>) -> Vec<Packet> {
        let mut taken = Vec::new();
        while inbox.receive().is_ok() {
            while let Some(packet) = inbox.next().unwrap() {
                taken.push(packet);
            }
        }
        taken
    }

    #[test]
    fn packets_come_whole_whatever_the_pieces() {
        let mut bytes = Vec::new();
        packets().iter().for_each(|packet| packet.encode(&mut bytes));
        for pieces in [vec![1], vec![5, 1, 70_000], vec![usize::MAX], vec![1460]] {
            let mut inbox = Inbox::new(Pieces(&bytes, pieces, 0), 1 << 20, true);
            assert_eq!(take_all(&mut inbox), packets());
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let ping = Packet::Ping { zxid: Zxid(1), touched: Some(vec![]) }.to_wire();
        let mut long = Vec::new();
        request(1, 2000, None).encode(&mut long);
        let mut many = Vec::new();
        Packet::Ack(Zxid(1)).encode(&mut many);
        many.truncate(16);
        many.extend((IDENTITIES_MAX as i32 + 1).to_be_bytes());
        let mut unknown = Vec::new();
        jute::Encode::encode(&jute::quorum::QuorumPacket { kind: 99, ..ping }, &mut unknown);
        for bytes in [long, many, unknown] {
            let mut inbox = Inbox::new(Pieces(&bytes, vec![bytes.len()], 0), 1000, true);
            inbox.receive().unwrap();
            assert!(inbox.next().is_err(), "{bytes:?}");
        }
    }

    /// Each field within its limit, and yet too much for one packet.
    #[test]
    fn a_packet_that_never_ends_is_an_error() {
        let (field_max, per_read) = (256 << 10, 64 << 10);
        let name = "x".repeat(field_max - 1);
        let many = vec![("digest", name.as_str()); 100];
        let mut bytes = Vec::new();
        request(1, 10, Some(&many)).encode(&mut bytes);
        let mut inbox = Inbox::new(Pieces(&bytes, vec![per_read], 0), field_max, true);
        let mut read = 0;
        let error = loop {
            inbox.receive().unwrap();
            read += per_read;
            match inbox.next() {
                Ok(packet) => assert_eq!(packet, None),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("length of a packet"), "{error}");
        assert!(read <= field_max + EXTRA_MAX + per_read, "{read} bytes kept");
    }

    /// A snapshot's stream lies between packets.
    #[test]
    fn the_stream_can_be_lent() {
        let mut bytes = Vec::new();
        Packet::Snap(Zxid(1)).encode(&mut bytes);
        bytes.extend(b"stream!");
        Packet::Proposal(proposal(2)).encode(&mut bytes);
        for piece in [3, 20, 1000] {
            let mut inbox = Inbox::new(Pieces(&bytes, vec![piece], 0), 1 << 20, false);
            let mut taken = Vec::new();
            while inbox.receive().is_ok() {
                while let Some(packet) = inbox.next().unwrap() {
                    let snapshot = matches!(packet, Packet::Snap(_));
                    taken.push(packet);
                    if snapshot {
                        let read = |input: &mut dyn Read| {
                            let mut found = vec![0; 10];
                            input.read_exact(&mut found)?;
                            assert_eq!(&found[..7], b"stream!");
                            Ok(found.split_off(7))
                        };
                        inbox.lend(read).unwrap();
                    }
                }
            }
            assert_eq!(taken, [Packet::Snap(Zxid(1)), Packet::Proposal(proposal(2))]);
        }
    }
}
