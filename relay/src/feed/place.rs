//! A place in a change feed, as a text that only we read. Must not know what is told.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use comptoir_engine::id::{LogEpoch, LogSeq};

/// Behind some records of one entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPlace {
    /// Which log.
    pub epoch: LogEpoch,
    /// Everything through this entry has been told.
    pub after: LogSeq,
    /// Of this entry, a part has been told; 0 for none.
    pub within: LogSeq,
    /// So many of its records.
    pub told: u32,
}

impl FeedPlace {
    /// In front of everything.
    pub fn first(epoch: LogEpoch) -> Self {
        Self::behind(epoch, LogSeq(0))
    }

    /// Behind an entry.
    pub fn behind(epoch: LogEpoch, after: LogSeq) -> Self {
        Self { epoch, after, within: LogSeq(0), told: 0 }
    }

    /// As text.
    pub fn text(&self) -> String {
        let parts: [&[u8]; 4] =
            [&self.epoch.0, &self.after.0.to_be_bytes(), &self.within.0.to_be_bytes(), &self.told.to_be_bytes()];
        BASE64_URL_SAFE_NO_PAD.encode(parts.concat())
    }

    /// The place in such a text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (epoch, rest) = bytes.split_first_chunk::<16>()?;
        let (after, rest) = rest.split_first_chunk::<8>()?;
        let (within, rest) = rest.split_first_chunk::<8>()?;
        let told = <[u8; 4]>::try_from(rest).ok()?;
        Some(Self {
            epoch: LogEpoch(*epoch),
            after: LogSeq(u64::from_be_bytes(*after)),
            within: LogSeq(u64::from_be_bytes(*within)),
            told: u32::from_be_bytes(told),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_its_text_says_and_other_texts_are_none() {
        let place = FeedPlace { epoch: LogEpoch([7; 16]), after: LogSeq(3), within: LogSeq(9), told: 2 };
        assert_eq!(FeedPlace::parse(&place.text()), Some(place));
        for wrong in ["", "0", "AAAA", &place.text()[1..], "é"] {
            assert_eq!(FeedPlace::parse(wrong), None, "{wrong}");
        }
    }
}
