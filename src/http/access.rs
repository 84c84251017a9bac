//! Who may come in: tokens and their scopes, sessions of browsers, and bounds on how often.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use tokio::time::Instant;

use super::handshake;
use super::own_door::OwnDoor;
use super::pages::cookie;
use super::problem::{Code, Problem};
use super::turns::Turns;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::sessions::{self, Digest};
use crate::store::tokens::{self, Token};

/// How long what is known of a token is believed: a revocation counts within that time.
const BELIEVED: Duration = Duration::from_secs(4);
/// Wrong tokens from one address within a minute.
const MOST_WRONG: u32 = 20;
const WRONG_WITHIN: Duration = Duration::from_mins(1);
/// Tokens and addresses that are remembered: strangers cannot fill the memory.
const MOST_REMEMBERED: usize = 10_000;

/// What a secret is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Proof {
    Token,
    Session,
}

/// Who shows which token how often.
pub(super) struct Access {
    known: Mutex<HashMap<(Proof, Digest), Known>>,
    wrong: Mutex<HashMap<Option<IpAddr>, Wrong>>,
    rates: Mutex<HashMap<Digest, Rate>>,
    per_second: f64,
    /// Where nothing may be written, browsers come in here alone.
    own: Option<OwnDoor>,
}

#[derive(Clone)]
struct Known {
    token: Option<Arc<Token>>,
    until: Instant,
}

#[derive(Clone, Copy)]
struct Wrong {
    since: Instant,
    count: u32,
}

/// A bucket that fills with time.
#[derive(Clone, Copy)]
struct Rate {
    left: f64,
    at: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room when there is none, by forgetting what says nothing any more; or everything.
fn make_room<K: Hash + Eq, V>(map: &mut HashMap<K, V>, is_stale: impl Fn(&V) -> bool) {
    if map.len() >= MOST_REMEMBERED {
        map.retain(|_, value| !is_stale(value));
        if map.len() >= MOST_REMEMBERED {
            map.clear();
        }
    }
}

impl Access {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            known: Mutex::default(),
            wrong: Mutex::default(),
            rates: Mutex::default(),
            per_second: f64::from(per_second),
            own: None,
        }
    }

    /// The same with a door of one's own.
    pub(super) fn through(self, own: OwnDoor) -> Self {
        Self { own: Some(own), ..self }
    }

    /// The door of one's own, where nothing may be written.
    pub(super) fn own(&self) -> Option<&OwnDoor> {
        self.own.as_ref()
    }

    /// The token of a request; one that may become a WebSocket may have it among the subprotocols.
    /// Asks the database at most every few seconds for each.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], the same for none, a wrong, an expired and a revoked one;
    /// [`Code::RateLimited`].
    pub(super) async fn admit(
        &self,
        turns: &Turns,
        headers: &HeaderMap,
        may_upgrade: bool,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Token>, Problem> {
        let now = Instant::now();
        let secret = match Shown::by(headers, may_upgrade) {
            Shown::Token(secret) => secret,
            // None at all is no guess.
            Shown::Nothing => {
                self.refuse_guesses(peer, now)?;
                return Err(unauthorized());
            }
            Shown::Damaged => {
                self.refuse_guesses(peer, now)?;
                self.note_guess(peer, now);
                return Err(unauthorized());
            }
        };
        self.token_of(turns, Proof::Token, &secret, peer).await
    }

    /// The token that a browser's session acts for. Asks the database as rarely.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub(super) async fn admit_session(
        &self,
        turns: &Turns,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Token>, Problem> {
        let Some(secret) = cookie::session(headers) else {
            self.refuse_guesses(peer, Instant::now())?;
            return Err(unauthorized());
        };
        if let Some(own) = &self.own {
            return own.token_of(&secret.digest()).ok_or_else(unauthorized);
        }
        self.token_of(turns, Proof::Session, &secret, peer).await
    }

    /// The token of a secret that somebody typed into the login page.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub(super) async fn admit_typed(
        &self,
        turns: &Turns,
        typed: &str,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Token>, Problem> {
        let now = Instant::now();
        self.refuse_guesses(peer, now)?;
        let Some(secret) = Secret::read(typed) else {
            self.note_guess(peer, now);
            return Err(unauthorized());
        };
        self.token_of(turns, Proof::Token, &secret, peer).await
    }

    /// Somebody has tried a link that began no session.
    pub(super) fn note_wrong_link(&self, peer: Option<IpAddr>) {
        self.note_guess(peer, Instant::now());
    }

    /// Refuses an address that has guessed too often.
    ///
    /// # Errors
    /// [`Code::RateLimited`].
    pub(super) fn refuse_guesser(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        self.refuse_guesses(peer, Instant::now())
    }

    /// Believes nothing of a secret any more: its session has just ended.
    pub(super) fn forget(&self, digest: &Digest) {
        lock(&self.known).remove(&(Proof::Session, *digest));
    }

    async fn token_of(
        &self,
        turns: &Turns,
        proof: Proof,
        secret: &Secret,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Token>, Problem> {
        let now = Instant::now();
        let digest = secret.digest();
        let known = lock(&self.known).get(&(proof, digest)).cloned();
        // Whoever had a good one goes on with it: behind a proxy, others guess from its address.
        if known.as_ref().is_none_or(|known| known.token.is_none()) {
            self.refuse_guesses(peer, now)?;
        }
        let token = match known.filter(|known| now < known.until) {
            Some(known) => known.token,
            None => self.look_up(turns, proof, digest, now).await?,
        };
        let Some(token) = token else {
            self.note_guess(peer, now);
            return Err(unauthorized());
        };
        self.take(digest, now)?;
        Ok(token)
    }

    async fn look_up(
        &self,
        turns: &Turns,
        proof: Proof,
        digest: Digest,
        now: Instant,
    ) -> Result<Option<Arc<Token>>, Problem> {
        let mut connection = turns.take().await?;
        let token = match proof {
            Proof::Token => tokens::find(&mut connection, &digest).await?,
            Proof::Session => sessions::find(&mut connection, &digest).await?,
        };
        let token = token.map(Arc::new);
        if let Some((token, day)) = token.as_ref().and_then(|t| Some((t, t.unnoted_day()?))) {
            tokens::note_use(&mut connection, &token.name, day).await?;
        }
        let expires = token.as_ref().and_then(|token| Some(token.expires_at?.since(token.now)));
        let left = expires.map(|left| Duration::try_from(left).unwrap_or_default());
        let until = now + left.unwrap_or(BELIEVED).min(BELIEVED);
        let mut known = lock(&self.known);
        make_room(&mut known, |known| known.until <= now);
        known.insert((proof, digest), Known { token: token.clone(), until });
        Ok(token)
    }

    fn refuse_guesses(&self, peer: Option<IpAddr>, now: Instant) -> Result<(), Problem> {
        let wrong = lock(&self.wrong).get(&peer).copied();
        match wrong {
            Some(Wrong { since, count }) if count >= MOST_WRONG && now < since + WRONG_WITHIN => {
                let wait = since + WRONG_WITHIN - now;
                Err(Problem {
                    retry_after: Some(wait.max(Duration::from_secs(1))),
                    ..Problem::new(Code::RateLimited, "too many wrong tokens from this address")
                })
            }
            _ => Ok(()),
        }
    }

    fn note_guess(&self, peer: Option<IpAddr>, now: Instant) {
        let mut wrong = lock(&self.wrong);
        make_room(&mut wrong, |wrong| now >= wrong.since + WRONG_WITHIN);
        let entry = wrong.entry(peer).or_insert(Wrong { since: now, count: 0 });
        if now >= entry.since + WRONG_WITHIN {
            *entry = Wrong { since: now, count: 0 };
        }
        entry.count += 1;
    }

    /// Takes one request from the token's bucket, which holds twice a second's worth.
    fn take(&self, digest: Digest, now: Instant) -> Result<(), Problem> {
        let (full, per_second) = (2.0 * self.per_second, self.per_second);
        let mut rates = lock(&self.rates);
        make_room(&mut rates, |rate| now >= rate.at + Duration::from_secs(2));
        let rate = rates.entry(digest).or_insert(Rate { left: full, at: now });
        let gained = now.saturating_duration_since(rate.at).as_secs_f64() * per_second;
        *rate = Rate { left: (rate.left + gained).min(full), at: now };
        if rate.left < 1.0 {
            let detail = format!("more than {per_second} requests per second with this token");
            return Err(Problem {
                retry_after: Some(Duration::from_secs(1)),
                ..Problem::new(Code::RateLimited, detail)
            });
        }
        rate.left -= 1.0;
        Ok(())
    }
}

fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "send a valid token in the header Authorization: Bearer")
}

/// What a client shows to be let in.
enum Shown {
    Token(Secret),
    /// Something that cannot be a token.
    Damaged,
    /// Nothing at all, which is no guess.
    Nothing,
}

impl Shown {
    fn by(headers: &HeaderMap, may_upgrade: bool) -> Self {
        let found = if headers.contains_key(header::AUTHORIZATION) {
            bearer(headers)
        } else {
            let is_socket = may_upgrade && handshake::is_asked(headers);
            let mut tokens = handshake::tokens(headers).filter(|_| is_socket);
            match (tokens.next(), tokens.next()) {
                (None, _) => return Self::Nothing,
                (Some(token), None) => Secret::read(token),
                (Some(_), Some(_)) => None,
            }
        };
        found.map_or(Self::Damaged, Self::Token)
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (one, none) = (all.next()?, all.next());
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    let is_bearer = none.is_none() && scheme.eq_ignore_ascii_case("bearer");
    if is_bearer { Secret::read(token.trim()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_two_seconds_and_fills_with_time() {
        let access = Access::new(10);
        let now = Instant::now();
        let taken = (0..40).filter(|_| access.take([7; 32], now).is_ok()).count();
        assert_eq!(taken, 20);
        let later = now + Duration::from_millis(500);
        let taken = (0..40).filter(|_| access.take([7; 32], later).is_ok()).count();
        assert_eq!(taken, 5);
        assert!(access.take([8; 32], later).is_ok(), "another token has a bucket of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_wrong_tokens_are_enough_for_a_minute() {
        let access = Access::new(10);
        let (peer, other) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let now = Instant::now();
        for _ in 0..MOST_WRONG {
            assert!(access.refuse_guesses(peer, now).is_ok());
            access.note_guess(peer, now);
        }
        assert!(access.refuse_guesses(peer, now).is_err());
        assert!(access.refuse_guesses(other, now).is_ok());
        assert!(access.refuse_guesses(peer, now + WRONG_WITHIN).is_ok());
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let access = Access::new(10);
        let now = Instant::now();
        for number in 0..30_000_u32 {
            access.note_guess(Some(IpAddr::from(number.to_be_bytes())), now);
        }
        assert!(lock(&access.wrong).len() <= MOST_REMEMBERED);
    }
}
