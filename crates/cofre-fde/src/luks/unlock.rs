//! From a secret to the volume key.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    header::{self, Header},
    keyslot::{Priority, SlotRecord},
    mapping::{LuksMapping, Segment},
};
use crate::{
    error::{ErrorKind, FdeError},
    limits::{Budget, Limits},
    read_at::ReadAt,
    secret::VolumeKey,
    view::PlaintextView,
};

/// An unlocked LUKS volume: the volume key, and where the data are.
#[derive(Clone, Debug)]
pub struct Unlocked {
    slot: u32,
    key: VolumeKey,
    segment: Segment,
}

impl Unlocked {
    pub(super) fn new(slot: u32, key: VolumeKey, segment: Segment) -> Self {
        Self { slot, key, segment }
    }

    /// Number of the keyslot that the secret opened.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The volume key.
    #[must_use]
    pub fn volume_key(&self) -> &VolumeKey {
        &self.key
    }

    /// Where the data are and how they are encrypted.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The mapping for a data device of `data_size` bytes.
    ///
    /// # Errors
    /// As [`Segment::mapping`].
    pub fn mapping(&self, data_size: u64) -> Result<LuksMapping, FdeError> {
        self.segment.mapping(&self.key, data_size)
    }

    /// The plaintext of `data`: the same source as the header's, or the data device that belongs to
    /// a detached header.
    ///
    /// # Errors
    /// As [`Segment::mapping`].
    pub fn view<S: ReadAt>(&self, data: S) -> Result<PlaintextView<S, LuksMapping>, FdeError> {
        let mapping = self.mapping(data.size())?;
        Ok(PlaintextView::new(data, mapping))
    }
}

/// Tries a secret on every keyslot that holds the disk's key: first those marked as preferred, then
/// the others by number; those marked to be ignored are left out. The secret is taken byte for byte:
/// give a key file as it is, and a typed passphrase without the newline.
///
/// `source` is a disk, a partition, or a detached header file.
///
/// # Errors
/// [`ErrorKind::WrongKey`] when no slot opens, [`ErrorKind::NoKeyslot`] when there is none to try,
/// [`ErrorKind::TooCostly`] when no slot opens and one was not tried because of `limits`,
/// [`ErrorKind::Unsupported`] when the data could not be mapped (the reason is
/// [`LuksInfo::opaque`](super::LuksInfo::opaque)), and the errors of [`inspect`](super::inspect).
pub fn unlock(source: &dyn ReadAt, secret: &[u8], limits: &Limits) -> Result<Unlocked, FdeError> {
    let header = header::read(source)?;
    let mut slots: Vec<_> = header.keyslots.iter().collect();
    slots.retain(|slot| header.is_bound(slot.number) && slot.priority != Priority::Ignore);
    slots.sort_by_key(|slot| (slot.priority, slot.number));
    try_slots(&header, &slots, source, secret, limits)
}

/// Tries a secret on one keyslot only, also on one that [`unlock`] leaves out by its priority.
///
/// # Errors
/// As [`unlock`]; [`ErrorKind::NoKeyslot`] when the slot is off or holds another key than the disk's.
pub fn unlock_slot(
    source: &dyn ReadAt,
    slot: u32,
    secret: &[u8],
    limits: &Limits,
) -> Result<Unlocked, FdeError> {
    let header = header::read(source)?;
    let slots: Vec<_> = header.keyslots.iter().filter(|record| record.number == slot).collect();
    if !slots.iter().all(|slot| header.is_bound(slot.number)) {
        return Err(FdeError::new(
            ErrorKind::NoKeyslot,
            format!("keyslot {slot} holds another key than the disk's"),
        ));
    }
    try_slots(&header, &slots, source, secret, limits)
}

fn try_slots(
    header: &Header,
    slots: &[&SlotRecord],
    source: &dyn ReadAt,
    secret: &[u8],
    limits: &Limits,
) -> Result<Unlocked, FdeError> {
    let segment = segment(header)?;
    if slots.is_empty() {
        return Err(FdeError::new(
            ErrorKind::NoKeyslot,
            "there is no keyslot to try: the key is gone from this header, use an older copy of it",
        ));
    }
    let mut budget = Budget::new(limits);
    let mut failed = Vec::new();
    for slot in slots {
        let opened = slot.open(source, secret, &mut budget);
        match opened
            .and_then(|key| Ok(matches_digest(header, slot.number, &key, &mut budget)?.then_some(key)))
        {
            Ok(Some(key)) => return Ok(Unlocked { slot: slot.number, key: VolumeKey::new(key), segment }),
            Ok(None) => {}
            Err(error) => failed.push((slot.number, error)),
        }
    }
    Err(closed(slots.len(), failed))
}

/// The data segment, or why it is not mapped.
fn segment(header: &Header) -> Result<Segment, FdeError> {
    if let Some(reason) = &header.opaque {
        return Err(FdeError::unsupported(format!("{reason}: the disk can only be kept as it is")));
    }
    let data = &header.data;
    Ok(Segment {
        offset: data.offset,
        size: data.size,
        cipher: data.cipher.parse()?,
        sector_size: data.sector_size,
        iv_tweak: data.iv_tweak,
    })
}

/// Whether `key` is the volume key, by the digests that keyslot `slot` belongs to.
fn matches_digest(header: &Header, slot: u32, key: &[u8], budget: &mut Budget) -> Result<bool, FdeError> {
    for digest in header.digests.iter().filter(|digest| digest.bound && digest.keyslots.contains(&slot)) {
        let hash = digest.hash()?;
        let length = digest.digest.len();
        budget.spend_pbkdf2(digest.iterations, length.div_ceil(hash.output_size()) as u64)?;
        let mut computed = Zeroizing::new(vec![0; length]);
        hash.pbkdf2(key, &digest.salt, digest.iterations, &mut computed);
        if bool::from(computed.as_slice().ct_eq(&digest.digest)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error when no slot opened. A slot that was not tried may have been the right one, so what
/// kept us from it counts more than the slots that stayed closed; an algorithm we do not know counts
/// only when nothing was tried at all.
fn closed(slots: usize, failed: Vec<(u32, FdeError)>) -> FdeError {
    let tried = slots - failed.len();
    let skipped: Vec<_> =
        failed.iter().map(|(number, error)| format!("keyslot {number} not tried: {error}")).collect();
    let worst = failed.into_iter().map(|(_, error)| error).min_by_key(|error| match error.kind() {
        ErrorKind::TooCostly => 0,
        ErrorKind::Io => 1,
        ErrorKind::Truncated => 2,
        ErrorKind::Damaged => 3,
        _ => 4,
    });
    let kind = match worst.as_ref().map(FdeError::kind) {
        Some(ErrorKind::Unsupported) if tried > 0 => ErrorKind::WrongKey,
        Some(kind) => kind,
        None => ErrorKind::WrongKey,
    };
    let mut message = match tried {
        0 => "no keyslot could be tried".to_owned(),
        _ => format!("the secret opens none of the {tried} keyslots tried"),
    };
    if kind == ErrorKind::WrongKey {
        message.push_str(" (a key file counts byte for byte, with its newline)");
    }
    for line in &skipped {
        message.push_str("; ");
        message.push_str(line);
    }
    let error = FdeError::new(kind, message);
    match worst {
        Some(worst) => error.in_place_of(worst),
        None => error,
    }
}
