//! Certificate compression (RFC 8879): certificates are most of a handshake, and a server may send them compressed.
//!
//! What comes out is parsed, verified and pinned like certificates that came as they are. rustls bounds the length that a
//! server may declare (64 KiB) before any of this runs, and no decompressor writes more than was declared. Its own
//! decompressors would bring the compressors along, and brotli's a crate that is good for nothing else here.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use rustls::CertificateCompressionAlgorithm as Algorithm;
use rustls::compress::{CertDecompressor, DecompressionFailed};

/// What clients offer, the preferred one first (RFC 8879 §3). Of its three algorithms zstd is left out: bytes of somebody
/// who has proven nothing yet go to memory-safe code only.
pub(super) static DECOMPRESSORS: &[&dyn CertDecompressor] = &[&Brotli, &Zlib];

#[derive(Debug)]
struct Brotli;

impl CertDecompressor for Brotli {
    /// Exactly the declared length from all of the input (RFC 8879 §4).
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        let mut state = BrotliState::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut written, mut total) = (output.len(), 0, 0);
        match BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut written,
            output,
            &mut total,
            &mut state,
        ) {
            BrotliResult::ResultSuccess if left == 0 && room == 0 => Ok(()),
            _ => Err(DecompressionFailed),
        }
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::Brotli
    }
}

#[derive(Debug)]
struct Zlib;

impl CertDecompressor for Zlib {
    /// Exactly the declared length from all of the input (RFC 8879 §4).
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        let mut stream = Decompress::new(true);
        let (all, declared) = (input.len() as u64, output.len() as u64);
        match stream.decompress(input, output, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if stream.total_in() == all && stream.total_out() == declared => {
                Ok(())
            }
            _ => Err(DecompressionFailed),
        }
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::Zlib
    }
}
