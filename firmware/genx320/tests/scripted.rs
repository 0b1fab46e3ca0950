//! Transactions on the bus, byte by byte.

use embedded_hal::i2c::ErrorKind;
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use mixel_genx320::{ADDRESS, Bias, Error, Format, Frames, Genx320, Rectangle, Silicon};

const ES: u32 = 0x3050_1C01;
const MP: u32 = 0xB060_2003;

fn read(register: u16, value: u32) -> Transaction {
    Transaction::write_read(ADDRESS, register.to_be_bytes().to_vec(), value.to_be_bytes().to_vec())
}

fn write(register: u16, value: u32) -> Transaction {
    Transaction::write(ADDRESS, [&register.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// Writes `value` and reads it back.
fn checked(register: u16, value: u32) -> [Transaction; 2] {
    [write(register, value), read(register, value)]
}

/// Does `work` on a sensor that was found, and checks that the bus saw exactly `script`.
fn on_bus<R>(
    id: u32,
    script: impl IntoIterator<Item = Transaction>,
    work: impl FnOnce(&mut Genx320<Mock, NoopDelay>) -> R,
) -> R {
    let script: Vec<_> = [read(0x0014, id)].into_iter().chain(script).collect();
    let mut sensor = Genx320::probe(Mock::new(&script), NoopDelay::new()).unwrap();
    let result = work(&mut sensor);
    sensor.release().0.done();
    result
}

#[test]
fn both_silicons_are_found_and_others_refused() {
    assert_eq!(on_bus(ES, [], |sensor| sensor.silicon()), Silicon::Es);
    assert_eq!(on_bus(MP, [], |sensor| sensor.silicon()), Silicon::Mp);
    for id in [0, 0xFFFF_FFFF, 0xA040_1806] {
        let mut bus = Mock::new(&[read(0x0014, id)]);
        assert_eq!(Genx320::probe(bus.clone(), NoopDelay::new()).err(), Some(Error::Chip(id)));
        bus.done();
    }
}

#[test]
fn a_silent_bus_is_told() {
    let mut bus = Mock::new(&[read(0x0014, MP).with_error(ErrorKind::Other)]);
    assert_eq!(Genx320::probe(bus.clone(), NoopDelay::new()).err(), Some(Error::Bus(ErrorKind::Other)));
    bus.done();
}

#[test]
fn start_and_stop() {
    let start = [
        write(0x8000, 0x0000_06A1),
        write(0x9028, 0),
        write(0x9008, 0x0305),
        write(0x002C, 0x0022_C724),
        write(0x0000, 0x0C02),
    ];
    on_bus(MP, start, |sensor| sensor.start()).unwrap();
    let stop = [
        write(0x0000, 0x0802),
        write(0x002C, 0x0020_0624),
        write(0x9028, 2),
        write(0x9008, 0x0304),
        write(0x8000, 0x0001_FFA2),
        read(0x8004, 2),
        read(0x8004, 2),
        read(0x8004, 1),
    ];
    on_bus(MP, stop, |sensor| sensor.stop()).unwrap();
}

#[test]
fn sleep_and_wake() {
    on_bus(MP, [write(0x8000, 0x0040_0002), write(0x8000, 0x06A1)], |sensor| {
        sensor.sleep().unwrap();
        sensor.wake().unwrap();
    });
}

#[test]
fn a_bias_is_transferred_alone_and_read_back() {
    let on = [write(0x1104, 0x1101_001E), read(0x1104, 0x1101_001E), write(0x1104, 0x0101_001E)];
    on_bus(MP, on, |sensor| sensor.set_bias(Bias::DiffOn, 30)).unwrap();
    let wide = [write(0x1120, 0x1101_00FF), read(0x1120, 0x0101_00FF), write(0x1120, 0x0101_00FF)];
    on_bus(MP, wide, |sensor| sensor.set_bias(Bias::SmPdy, 255)).unwrap();
    assert_eq!(on_bus(MP, [read(0x1004, 0x0301_0018)], |sensor| sensor.bias(Bias::Fo)), Ok(24));
    // The bus is not even asked.
    assert_eq!(on_bus(MP, [], |sensor| sensor.set_bias(Bias::Fo, 128)), Err(Error::Range));
}

#[test]
fn a_bias_that_does_not_take_is_told() {
    let script = [write(0x1114, 0x1301_000A), read(0x1114, 0x0301_0052), write(0x1114, 0x0301_0052)];
    let error = on_bus(MP, script, |sensor| sensor.set_bias(Bias::Refr, 10)).unwrap_err();
    assert!(matches!(error, Error::Readback { wrote: 0x0301_000A, read: 0x0301_0052, .. }), "{error:?}");
    assert!(error.to_string().contains("0x1114"), "{error}");
}

#[test]
fn formats() {
    let script = |legacy: u32, code: u32| {
        [vec![read(0x71C0, 0xF0), write(0x71C0, 0xF0 | legacy)], checked(0x7044, code).to_vec()].concat()
    };
    on_bus(ES, script(0, 0), |sensor| sensor.set_format(Format::Evt2)).unwrap();
    on_bus(ES, script(0, 2), |sensor| sensor.set_format(Format::Evt21 { legacy: false })).unwrap();
    on_bus(MP, script(1, 2), |sensor| sensor.set_format(Format::Evt21 { legacy: true })).unwrap();
    on_bus(MP, script(0, 1), |sensor| sensor.set_format(Format::Evt3)).unwrap();
    assert_eq!(on_bus(ES, [], |sensor| sensor.set_format(Format::Evt3)), Err(Error::Format));
    let frames = Frames { packet: 512, packets: 4, packet_pause: 280, frame_pause: 4800 };
    assert_eq!(on_bus(ES, [], |sensor| sensor.init(Format::Evt3, &frames)), Err(Error::Format));
}

#[test]
fn frames() {
    let frames = Frames { packet: 512, packets: 4, packet_pause: 280, frame_pause: 4800 };
    assert_eq!(frames.bytes(), 2048);
    let sizes = [(0x8008, 512), (0x800C, 0x0118_0200), (0x8010, 4), (0x8014, 4800)];
    let script = sizes.iter().flat_map(|&(register, value)| checked(register, value));
    let script = script.chain([write(0x8018, 3)]);
    on_bus(MP, script, |sensor| sensor.set_frames(&frames)).unwrap();
    for wrong in [
        Frames { packet: 0, ..frames },
        Frames { packet: 12, ..frames },
        Frames { packet: 8192, ..frames },
        Frames { packets: 0, ..frames },
    ] {
        assert_eq!(on_bus(MP, [], |sensor| sensor.set_frames(&wrong)), Err(Error::Range), "{wrong:?}");
    }
}

#[test]
fn a_million_events_a_second() {
    let script = [
        vec![write(0x6000, 0), write(0x6000, 5)],
        vec![read(0x00B8, 0x40), write(0x00B8, 0x44)],
        vec![read(0x00C0, 0x78), write(0x00C0, 0x70)],
        vec![write(0x60A0, 0)],
        checked(0x6020, 0x0001_0064).to_vec(),
        checked(0x602C, 100).to_vec(),
        vec![write(0x6024, 0x0001_001C), write(0x6034, 0x206)],
        vec![read(0x6014, 0), read(0x6014, 0x8000_0000), write(0x6014, 0x2004)],
        vec![write(0x60B4, 0), write(0x6000, 1)],
    ];
    on_bus(MP, script.concat(), |sensor| sensor.limit_rate(Some(1_000_000))).unwrap();
    on_bus(MP, [write(0x6000, 5)], |sensor| sensor.limit_rate(None)).unwrap();
    assert_eq!(on_bus(MP, [], |sensor| sensor.limit_rate(Some(9_999))), Err(Error::Range));
}

#[test]
fn lamps_of_both_mains() {
    let script = [
        vec![write(0xC000, 4)],
        vec![read(0x00B8, 0x44), write(0x00B8, 0x45)],
        vec![read(0x00BC, 0x3FFF_FFFF), write(0x00BC, 0x3FFF_8000)],
        vec![write(0xC0C4, 1), read(0xC0C4, 2), read(0xC0C4, 4)],
        vec![write(0xC0C0, 0x05FF_F004)],
        // 1 s / 130 and 1 s / 90 in units of 128 us.
        checked(0xC00C, 0x0008_563C).to_vec(),
        vec![write(0xC008, 0x34), write(0xC000, 1)],
    ];
    on_bus(MP, script.concat(), |sensor| sensor.filter_flicker(Some((90, 130)))).unwrap();
    let off = [write(0xC000, 5), read(0x00BC, 0x3FFF_8000), write(0x00BC, 0x3FFF_FFFF)];
    on_bus(MP, off, |sensor| sensor.filter_flicker(None)).unwrap();
    for band in [(49, 100), (100, 501), (130, 90)] {
        assert_eq!(on_bus(MP, [], |sensor| sensor.filter_flicker(Some(band))), Err(Error::Range));
    }
}

#[test]
fn events_are_counted_by_periods() {
    let script =
        [write(0x9058, 25_000), write(0x9054, 5), write(0x905C, 1), read(0x9028, 0), write(0x9028, 1)];
    on_bus(MP, script, |sensor| sensor.count_events_every(25_000)).unwrap();
    let script = [read(0x905C, 0), read(0x905C, 1), read(0x9244, 1234), write(0x905C, 1)];
    on_bus(MP, script, |sensor| {
        assert_eq!(sensor.counted_events(), Ok(None));
        assert_eq!(sensor.counted_events(), Ok(Some(1234)));
    });
    assert_eq!(on_bus(MP, [], |sensor| sensor.count_events_every(0)), Err(Error::Range));
}

#[test]
fn a_crop_has_first_and_last() {
    let script = [(0x9010, 0x0060_0060), (0x9014, 0x00DF_00DF), (0x900C, 0x15)];
    let script = script.iter().flat_map(|&(register, value)| checked(register, value));
    let middle = Rectangle::centred(128, 128);
    on_bus(MP, script, |sensor| sensor.set_crop(Some(&middle))).unwrap();
    on_bus(MP, checked(0x900C, 0), |sensor| sensor.set_crop(None)).unwrap();
}

#[test]
fn regions_off_the_sensor_are_refused() {
    let at = |left, top, width, height| Rectangle { left, top, width, height };
    for wrong in
        [at(0, 0, 0, 1), at(0, 0, 1, 0), at(319, 0, 2, 1), at(0, 1, 1, 320), at(65_535, 0, 65_535, 1)]
    {
        assert_eq!(on_bus(MP, [], |sensor| sensor.set_region(&wrong)), Err(Error::Range), "{wrong:?}");
        assert_eq!(on_bus(MP, [], |sensor| sensor.set_crop(Some(&wrong))), Err(Error::Range), "{wrong:?}");
    }
}
