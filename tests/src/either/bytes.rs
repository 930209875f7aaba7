//! JSON messages, and views of connections and messages as streams of bytes.

use std::io::{BufRead, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use smol::io::BlockOn;
use ws_std::Error;

use super::WebSocket;

/// A stream of bytes in both directions.
pub trait ByteStream: BufRead + Write + Send {}

impl<S: BufRead + Write + Send> ByteStream for S {}

impl WebSocket {
    /// Same as `WebSocket::send_json`.
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        either!(self, ws => ws.send_json(value), async ws.send_json(value))
    }

    /// Same as `WebSocket::receive_json`.
    pub fn receive_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        either!(self, ws => ws.receive_json(), async ws.receive_json())
    }

    /// Same as `WebSocket::into_byte_stream`.
    pub fn into_byte_stream(self) -> Box<dyn ByteStream> {
        match self {
            Self::Std(ws) => Box::new(ws.into_byte_stream()),
            Self::Smol(ws) => Box::new(BlockOn::new(ws.into_byte_stream())),
        }
    }

    /// Converts the connection into both directions of a stream of bytes.
    pub fn into_byte_halves(self) -> (Box<dyn Write + Send>, Box<dyn Read + Send>) {
        match self {
            Self::Std(ws) => {
                let (writer, reader) = ws.into_byte_stream().split();
                (Box::new(writer), Box::new(reader))
            }
            Self::Smol(ws) => {
                let (writer, reader) = ws.into_byte_stream().split();
                (Box::new(BlockOn::new(writer)), Box::new(BlockOn::new(reader)))
            }
        }
    }

    /// Passes a reader of the next message to a function. The first argument is `true` for text.
    pub fn read_message<T>(
        &mut self,
        read: impl FnOnce(bool, &mut dyn BufRead) -> T,
    ) -> Result<Option<T>, Error> {
        match self {
            Self::Std(ws) => Ok(ws.message_reader()?.map(|mut reader| read(reader.is_text(), &mut reader))),
            Self::Smol(ws) => {
                let reader = smol::block_on(ws.message_reader())?;
                Ok(reader.map(|reader| read(reader.is_text(), &mut BlockOn::new(reader))))
            }
        }
    }

    /// Passes a writer of a binary message to a function, and ends the message if the function returns `true`.
    pub fn write_message(&self, write: impl FnOnce(&mut dyn Write) -> bool) -> Result<(), Error> {
        match self {
            Self::Std(ws) => {
                let mut writer = ws.binary_writer();
                if write(&mut writer) { writer.finish() } else { Ok(()) }
            }
            Self::Smol(ws) => {
                let mut writer = BlockOn::new(ws.binary_writer());
                if write(&mut writer) { smol::block_on(writer.into_inner().finish()) } else { Ok(()) }
            }
        }
    }
}
