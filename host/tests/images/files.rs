//! PNG files: what is read, and that writing and reading give the same pixels.

use mixel::image::{Rgb8, decode_png, read_png, write_png};
use png::{BitDepth, ColorType};

use crate::procedural;

/// A PNG file of 2x2 pixels.
pub fn encoded(colour: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 2);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 40, 50, 60, 255, 255, 255]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.png");
    for (width, height) in [(1, 1), (24, 20), (3, 50)] {
        let picture = procedural(width, height);
        write_png(&path, &picture).unwrap();
        assert_eq!(read_png(&path).unwrap(), picture);
    }
}

#[test]
fn modes_that_are_read() {
    let read = |colour, depth, data: &[u8]| decode_png(&encoded(colour, depth, data), "p.png").unwrap();
    let grey =
        |values: [u8; 4]| Rgb8::new(2, 2, values.iter().flat_map(|&grey| [grey; 3]).collect()).unwrap();
    assert_eq!(read(ColorType::Grayscale, BitDepth::Eight, &[0, 9, 90, 255]), grey([0, 9, 90, 255]));
    assert_eq!(
        read(ColorType::Grayscale, BitDepth::One, &[0b0100_0000, 0b1000_0000]),
        grey([0, 255, 255, 0])
    );
    let solid = [7, 255, 8, 255, 9, 255, 10, 255];
    assert_eq!(read(ColorType::GrayscaleAlpha, BitDepth::Eight, &solid), grey([7, 8, 9, 10]));
    let colours: Vec<u8> = (0..12).collect();
    let rgb = Rgb8::new(2, 2, colours.clone()).unwrap();
    assert_eq!(read(ColorType::Rgb, BitDepth::Eight, &colours), rgb);
    let with_alpha: Vec<u8> = colours.chunks(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    assert_eq!(read(ColorType::Rgba, BitDepth::Eight, &with_alpha), rgb);
    let palette = Rgb8::new(2, 2, vec![1, 2, 3, 40, 50, 60, 255, 255, 255, 1, 2, 3]).unwrap();
    assert_eq!(read(ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 0]), palette);
}

/// A grey picture of 2x2 pixels in seven passes (Adam7), of which three have pixels: the first, the sixth and the last.
#[test]
fn interlaced_files_are_read() {
    let plain = encoded(ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 4]);
    let mut head = plain[16..29].to_vec();
    head[12] = 1;
    // One row each of the passes with a filter byte in front, as a stored deflate block.
    let rows = [0, 1, 0, 2, 0, 3, 4];
    let mut data = vec![0x78, 0x01, 0x01, rows.len() as u8, 0, !(rows.len() as u8), 0xff];
    data.extend(rows);
    let (a, b) = rows.iter().fold((1u32, 0u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    data.extend((b << 16 | a).to_be_bytes());
    let mut file = plain[..8].to_vec();
    for (kind, content) in [(b"IHDR", &head), (b"IDAT", &data), (b"IEND", &Vec::new())] {
        chunk(&mut file, kind, content);
    }
    let picture = decode_png(&file, "p.png").unwrap();
    assert_eq!(picture.pixels(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
}

/// Adds a chunk with its checksum, the CRC-32 of ISO 3309.
pub fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    let crc = kind.iter().chain(content).fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    file.extend((content.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(content);
    file.extend((!crc).to_be_bytes());
}
