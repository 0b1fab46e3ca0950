//! The driver against a model of the registers that knows what must come before what.

use std::collections::HashMap;
use std::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};
use mixel_genx320::registers::Register;
use mixel_genx320::{ADDRESS, Bias, Error, Format, Frames, Genx320, Rectangle, Silicon};

const FRAMES: Frames = Frames { packet: 512, packets: 4, packet_pause: 280, frame_pause: 4800 };
const SIDE: usize = 320;

/// A sensor as its registers show it.
struct Fake {
    silicon: Silicon,
    registers: HashMap<u16, u32>,
    /// Pixels that are on.
    pixels: Vec<bool>,
    /// The bias whose transfer has begun, and whether it was read back.
    transfer: Option<(u16, bool)>,
    /// Values that reached the pixels.
    biases: HashMap<u16, u32>,
    /// Questions that a busy block answers before it is done; none answers never.
    patience: Option<u32>,
    asked: u32,
    transactions: usize,
    /// The transaction that fails.
    fails_at: Option<usize>,
    waited_us: u64,
}

impl Fake {
    fn new(silicon: Silicon) -> Self {
        Self {
            silicon,
            registers: HashMap::from([(0x00BC, 0x3FFF_FFFF), (0x00C0, 0xFF)]),
            pixels: vec![false; SIDE * SIDE],
            transfer: None,
            biases: HashMap::new(),
            patience: Some(2),
            asked: 0,
            transactions: 0,
            fails_at: None,
            waited_us: 0,
        }
    }

    fn get(&self, register: u16) -> u32 {
        self.registers.get(&register).copied().unwrap_or(0)
    }

    fn has(&self, register: Register, bits: u32) -> bool {
        self.get(register.0) & bits == bits
    }

    /// Supplies, pump and bias generators are on and out of reset.
    fn analog_is_up(&self) -> bool {
        self.has(Register::DIG_SOFT_RESET, 4)
            && self.has(Register::LDO_BG, 0b110)
            && self.has(Register::LDO_LV, 1)
            && self.has(Register::LDO_HV, 1)
            && self.has(Register::CP_CTRL, 0b11)
            && self.has(Register::BGEN_CGM_SUB, 1)
            && self.has(Register::BGEN_CC_EN, 0b11)
            && self.has(Register::BGEN_CTRL, 0x30)
    }

    fn streams(&self) -> bool {
        self.has(Register::RO_TIME_BASE_CTRL, 1) && self.has(Register::ROI_CTRL, 1 << 10 | 1 << 1)
    }

    /// Busy blocks: true when the time has come.
    fn done(&mut self) -> bool {
        self.asked += 1;
        self.patience.is_some_and(|patience| self.asked > patience)
    }

    fn read(&mut self, register: u16) -> u32 {
        if let Some((bias, read_back)) = &mut self.transfer {
            assert_eq!(*bias, register, "another register is read inside of a bias transfer");
            *read_back = true;
        }
        let value = self.get(register);
        match Register(register) {
            Register::CHIP_ID => match self.silicon {
                Silicon::Es => 0x3050_1C01,
                Silicon::Mp => 0xB060_2003,
            },
            Register::LDO_PMU => {
                let calibrates = self.has(Register::LDO_PMU, 1 << 15)
                    && self.has(Register::ADC_CONTROL, 0b10)
                    && self.has(Register::MIPI_POWER, 1 << 4);
                if calibrates && self.done() { value | 1 << 20 } else { value }
            }
            Register::CPI_PIPELINE_STATUS => u32::from(!self.done()) << 1,
            Register::AFK_INITIALIZATION => {
                let done = value & 1 != 0 && self.done();
                value & 1 | if done { 1 << 2 } else { 1 << 1 }
            }
            Register::ERC_AHVT_DROPPING_CONTROL => value | u32::from(self.done()) << 31,
            _ => value,
        }
    }

    fn write(&mut self, register: u16, value: u32) {
        if let Some((bias, read_back)) = self.transfer {
            assert_eq!(bias, register, "a bias transfer is not ended");
            assert!(read_back && value & 1 << 28 == 0, "a bias transfer is read back, then ended");
            self.transfer = None;
            self.registers.insert(register, value);
            return;
        }
        self.asked = 0;
        match Register(register) {
            Register::CHIP_ID | Register::CPI_PIPELINE_STATUS => {
                panic!("register {register:#06x} is read only")
            }
            Register::EDF_CONTROL
            | Register::CPI_PACKET_SIZE_CONTROL
            | Register::CPI_PACKET_TIME_CONTROL
            | Register::CPI_FRAME_SIZE_CONTROL
            | Register::CPI_FRAME_TIME_CONTROL => {
                assert!(!self.streams(), "{register:#06x} while events flow")
            }
            Register::CP_CTRL => {
                assert!(
                    self.has(Register::LDO_LV, 1) && self.has(Register::LDO_HV, 1),
                    "pump before supplies"
                );
                assert!(self.has(Register::LDO_PMU, 1 << 15), "supplies before calibration");
            }
            Register::BGEN_CTRL if value & 0b101 == 0b101 => {
                assert!(self.analog_is_up(), "biases before power");
                for bias in Bias::ALL {
                    let register = bias_register(bias);
                    self.biases.insert(register, self.get(register));
                }
            }
            Register::ROI_CTRL => {
                let rises = value & 1 << 5 != 0 && !self.has(Register::ROI_CTRL, 1 << 5);
                if rises && value & 1 << 11 != 0 {
                    self.load();
                }
                assert!(
                    value & 1 << 10 == 0 || value & 1 << 11 == 0 || !self.biases.is_empty(),
                    "pixels run before they have biases"
                );
            }
            Register::AFK_INITIALIZATION => {
                let memory = self.has(Register::SRAM_INITN, 1) && self.get(0x00BC) & 0x7FFF == 0;
                assert!(memory, "the flicker filter clears memory that is off");
                assert!(
                    self.get(0xC000) & 0b100 != 0,
                    "the flicker filter is set up while events go through it"
                );
            }
            Register::AFK_PIPELINE_CONTROL if value == 1 => {
                assert!(self.has(Register::AFK_INITIALIZATION, 1), "the flicker filter forgets nothing");
            }
            Register::ERC_PIPELINE_CONTROL if value == 1 => {
                let memory = self.has(Register::SRAM_INITN, 1 << 2) && self.get(0x00C0) & 1 << 3 == 0;
                assert!(memory, "the rate controller has no memory");
                assert!(
                    self.get(0x602C) > 0 && self.get(0x6020) & 0x3FF > 0,
                    "the rate controller has no rate"
                );
                assert!(
                    self.has(Register::ERC_AHVT_DROPPING_CONTROL, 1 << 2),
                    "the rate controller drops nothing"
                );
            }
            Register::RO_TIME_BASE_CTRL if value & 1 != 0 => {
                assert!(
                    self.has(Register::PLL_CTRL, 1) && self.has(Register::SYS_CLK_CTRL, 0b11),
                    "no clock"
                );
                assert_eq!(value >> 4 & 0x7F, 48, "microseconds of the wrong length");
            }
            Register(0x1000..=0x1144) if value & 1 << 28 != 0 => {
                assert!(self.analog_is_up(), "biases before power");
                assert_eq!(value >> 24 & 1, 1, "a bias that is not enabled");
                self.transfer = Some((register, false));
                self.biases.insert(register, value & !(1 << 28));
            }
            Register(0x1000..=0x1144) => assert!(self.biases.is_empty(), "a bias that reaches no pixel"),
            Register(0x2000..=0x3028) => assert!(self.analog_is_up(), "latches before power"),
            _ => {}
        }
        self.registers.insert(register, value);
    }

    /// Rows that are selected take the bits of the columns; a set bit is off.
    fn load(&mut self) {
        for y in 0..SIDE {
            if self.get(0x3000 + 4 * (y / 32) as u16) >> (y % 32) & 1 == 0 {
                continue;
            }
            for x in 0..SIDE {
                self.pixels[y * SIDE + x] = self.get(0x2000 + 4 * (x / 32) as u16) >> (x % 32) & 1 == 0;
            }
        }
    }

    fn transact(&mut self, operations: &mut [Operation<'_>]) {
        match operations {
            [Operation::Write(bytes)] => {
                let [high, low, a, b, c, d] = **bytes else { panic!("{} bytes are written", bytes.len()) };
                self.write(u16::from_be_bytes([high, low]), u32::from_be_bytes([a, b, c, d]));
            }
            [Operation::Write(register), Operation::Read(value)] => {
                let register: [u8; 2] = (*register).try_into().unwrap();
                let answer = self.read(u16::from_be_bytes(register));
                value.copy_from_slice(&answer.to_be_bytes());
            }
            _ => panic!("no transaction of this sensor"),
        }
    }
}

fn bias_register(bias: Bias) -> u16 {
    let index = Bias::ALL.iter().position(|other| *other == bias).unwrap() as u16;
    if index < 3 { 0x1000 + 4 * index } else { 0x1100 + 4 * (index - 3) }
}

impl ErrorType for &mut Fake {
    type Error = ErrorKind;
}

impl I2c<SevenBitAddress> for &mut Fake {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        assert_eq!(address, ADDRESS);
        self.transactions += 1;
        if self.fails_at == Some(self.transactions) {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data));
        }
        self.transact(operations);
        Ok(())
    }
}

/// Time that passes for nobody.
#[derive(Default)]
struct Waited(u64);

impl DelayNs for &mut Waited {
    fn delay_ns(&mut self, ns: u32) {
        self.0 += u64::from(ns);
    }
}

/// Does `work` on the sensor.
fn on<R>(
    fake: &mut Fake,
    work: impl FnOnce(&mut Genx320<&mut Fake, &mut Waited>) -> Result<R, Error<ErrorKind>>,
) -> Result<R, Error<ErrorKind>> {
    let mut waited = Waited::default();
    let result = Genx320::probe(&mut *fake, &mut waited).and_then(|mut sensor| work(&mut sensor));
    fake.waited_us += waited.0 / 1000;
    result
}

fn all_of_it(sensor: &mut Genx320<&mut Fake, &mut Waited>) -> Result<(), Error<ErrorKind>> {
    sensor.init(Format::Evt2, &FRAMES)?;
    sensor.limit_rate(Some(1_000_000))?;
    sensor.filter_flicker(Some((90, 130)))?;
    sensor.set_region(&Rectangle::centred(128, 128))?;
    sensor.set_crop(Some(&Rectangle::centred(128, 128)))?;
    sensor.start()?;
    sensor.set_bias(Bias::DiffOn, 30)?;
    sensor.count_events_every(10_000)?;
    sensor.sleep()?;
    sensor.wake()?;
    sensor.stop()?;
    sensor.set_format(Format::Evt21 { legacy: false })?;
    sensor.start()
}

#[test]
fn power_up_keeps_the_order_and_ends_with_a_sensor_that_streams() {
    for silicon in [Silicon::Es, Silicon::Mp] {
        let mut fake = Fake::new(silicon);
        on(&mut fake, |sensor| sensor.init(Format::Evt2, &FRAMES)).unwrap();
        assert!(fake.pixels.iter().all(|on| *on));
        assert!(fake.transfer.is_none() && !fake.streams());
        for bias in Bias::ALL {
            let value = fake.biases[&bias_register(bias)];
            assert_eq!(value & 0xFF, u32::from(bias.default_of(silicon)), "{bias:?}");
        }
        assert!(fake.waited_us > 100_000 && fake.waited_us < 200_000, "{} us", fake.waited_us);
        assert_eq!(fake.get(Register::RO_READOUT_CTRL.0), 0x3600);
        on(&mut fake, |sensor| sensor.start()).unwrap();
        assert!(fake.streams());
        on(&mut fake, |sensor| sensor.stop()).unwrap();
        assert!(!fake.streams());
    }
}

#[test]
fn everything_in_a_row_breaks_no_rule() {
    let mut fake = Fake::new(Silicon::Mp);
    on(&mut fake, all_of_it).unwrap();
    assert!(fake.streams());
    assert_eq!(fake.biases[&0x1104] & 0x7F, 30);
    assert_eq!(fake.get(Register::EDF_CONTROL.0), 2);
}

#[test]
fn a_region_switches_exactly_its_pixels_on() {
    let at = |left, top, width, height| Rectangle { left, top, width, height };
    for region in
        [at(0, 0, 320, 320), at(96, 96, 128, 128), at(31, 33, 2, 31), at(319, 319, 1, 1), at(0, 64, 320, 1)]
    {
        let mut fake = Fake::new(Silicon::Mp);
        on(&mut fake, |sensor| {
            sensor.init(Format::Evt2, &FRAMES)?;
            sensor.start()?;
            // Once more, over another.
            sensor.set_region(&at(5, 5, 200, 10))?;
            sensor.set_region(&region)
        })
        .unwrap();
        let inside = |from: u16, len: u16, at: usize| (from as usize..(from + len) as usize).contains(&at);
        for (place, on) in fake.pixels.iter().enumerate() {
            let (x, y) = (place % SIDE, place / SIDE);
            let expected = inside(region.left, region.width, x) && inside(region.top, region.height, y);
            assert_eq!(*on, expected, "({x}, {y}) of {region:?}");
        }
        assert!(fake.streams(), "the array goes on");
    }
}

#[test]
fn a_bus_error_at_any_point_is_passed_on() {
    let mut whole = Fake::new(Silicon::Mp);
    on(&mut whole, all_of_it).unwrap();
    println!("{} transactions", whole.transactions);
    for transaction in 1..=whole.transactions {
        let mut fake = Fake::new(Silicon::Mp);
        fake.fails_at = Some(transaction);
        let error = on(&mut fake, all_of_it).unwrap_err();
        assert_eq!(error, Error::Bus(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data)), "{transaction}");
        assert_eq!(fake.transactions, transaction, "nothing is done behind an error");
    }
}

#[test]
fn a_sensor_that_never_gets_ready_is_given_up() {
    type Work = fn(&mut Genx320<&mut Fake, &mut Waited>) -> Result<(), Error<ErrorKind>>;
    let waits: [(Register, Work); 4] = [
        (Register::LDO_PMU, |sensor| sensor.init(Format::Evt2, &FRAMES)),
        (Register::CPI_PIPELINE_STATUS, |sensor| sensor.stop()),
        (Register::AFK_INITIALIZATION, |sensor| sensor.filter_flicker(Some((90, 130)))),
        (Register::ERC_AHVT_DROPPING_CONTROL, |sensor| sensor.limit_rate(Some(1_000_000))),
    ];
    for (register, work) in waits {
        let mut fake = Fake::new(Silicon::Mp);
        if register != Register::LDO_PMU {
            on(&mut fake, |sensor| sensor.init(Format::Evt2, &FRAMES)).unwrap();
        }
        (fake.patience, fake.waited_us, fake.transactions) = (None, 0, 0);
        assert_eq!(on(&mut fake, work), Err(Error::Timeout(register)));
        assert!(fake.waited_us < 100_000 && fake.transactions < 200, "{register:?}: {} us", fake.waited_us);
    }
}

#[test]
fn errors_say_what_to_do() {
    let error: Error<Infallible> = Error::Chip(7);
    assert!(error.to_string().contains("0x00000007"));
    assert!(Error::<Infallible>::Format.to_string().contains("another format"));
}
