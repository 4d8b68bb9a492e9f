//! Clusters that are stored compressed.

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags},
};
use zstd::{
    stream::raw::{Decoder, InBuffer, Operation, OutBuffer},
    zstd_safe::DParameter,
};

use crate::qcow2::header::Compression;

/// The largest window a zstd frame may ask for, 8 MiB. Nothing in a cluster is further back than its
/// beginning, but compressors choose windows by their level; more would let an image take our memory.
const MAX_WINDOW_LOG: u32 = 23;

/// Fills `output`, one whole cluster, from `input`, which may be followed by bytes of something else.
/// The error says what is wrong.
pub(super) fn expand(compression: Compression, input: &[u8], output: &mut [u8]) -> Result<(), String> {
    let written = match compression {
        Compression::Deflate => inflate(input, output)?,
        Compression::Zstd => unzstd(input, output)?,
    };
    if written == output.len() {
        return Ok(());
    }
    Err(format!("it expands to {written} bytes only"))
}

fn inflate(input: &[u8], output: &mut [u8]) -> Result<usize, String> {
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut decompressor = Box::<DecompressorOxide>::default();
    let (status, _, written) = decompress(&mut decompressor, input, output, 0, flags);
    match status {
        // A full cluster is enough: the stream may go on for its own end marker.
        TINFLStatus::Done | TINFLStatus::HasMoreOutput => Ok(written),
        _ if written == output.len() => Ok(written),
        _ => Err(format!("its deflate stream is damaged ({status:?})")),
    }
}

fn unzstd(input: &[u8], output: &mut [u8]) -> Result<usize, String> {
    let damaged = |e: std::io::Error| format!("its zstd frame is damaged ({e})");
    let mut decoder = Decoder::new().map_err(damaged)?;
    decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(damaged)?;
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    // A cluster may be several frames, one after the other.
    while output.pos() < output.capacity() {
        let before = (input.pos(), output.pos());
        decoder.run(&mut input, &mut output).map_err(damaged)?;
        if (input.pos(), output.pos()) == before {
            break;
        }
    }
    Ok(output.pos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followed_by_other_bytes() {
        let plain: Vec<u8> = (0..65_536_u32).map(|n| (n * n / 7).to_le_bytes()[0]).collect();
        let mut zstd = zstd::bulk::compress(&plain, 19).unwrap();
        zstd.extend([7; 300]);
        let mut deflate = miniz_oxide::deflate::compress_to_vec(&plain, 6);
        deflate.extend([7; 300]);
        for (compression, bytes) in [(Compression::Zstd, zstd), (Compression::Deflate, deflate)] {
            let mut output = vec![0; plain.len()];
            expand(compression, &bytes, &mut output).unwrap();
            assert_eq!(output, plain);
            let mut longer = vec![0; plain.len() + 1];
            assert!(expand(compression, &bytes, &mut longer).is_err());
            let error = expand(compression, &bytes[..bytes.len() - 300], &mut longer).unwrap_err();
            assert_eq!(error, "it expands to 65536 bytes only");
            assert!(expand(compression, &bytes[..100], &mut output).is_err());
            assert!(expand(compression, &[], &mut output).is_err());
        }
    }

    #[test]
    fn several_zstd_frames_are_one_cluster() {
        let frames = [[1; 300], [2; 300]].map(|plain| zstd::bulk::compress(&plain, 3).unwrap()).concat();
        let mut output = [0; 600];
        expand(Compression::Zstd, &frames, &mut output).unwrap();
        assert_eq!(output, [[1; 300], [2; 300]].concat()[..]);
    }

    #[test]
    fn a_huge_window_is_refused() {
        // A frame header that asks for 2 GiB.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        let error = expand(Compression::Zstd, &frame, &mut [0; 512]).unwrap_err();
        assert!(error.contains("too much memory"), "{error}");
    }
}
