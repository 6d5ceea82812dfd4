//! Marks on rare paths, so that a simulation can prove that it took them.
//!
//! Counted with the feature `marks` only; without it a mark costs nothing.

/// Declares [`Mark`], its list and its names from one table.
macro_rules! marks {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A rare path.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the name that reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

marks! {
    // Carriers.
    /// A carrier got no HELLO in time.
    HelloTimeout = "hello-timeout",
    /// A carrier was silent for too long.
    Silent = "carrier-silent",
    /// A carrier did not even take a goodbye.
    Severed = "goodbye-not-taken",
    /// A carrier took nothing for a second while sessions waited (W14).
    CarrierFull = "carrier-full",
    // Resuming.
    /// A resume after which the POP sent frames again.
    ResumeLossDown = "resume-loss-down",
    /// A resume after which the edge sent frames again.
    ResumeLossUp = "resume-loss-up",
    /// Frames were lost both ways and sent again. Seen by a simulation, which knows both ends.
    ResumeLossBoth = "resume-loss-both-ways",
    /// A message was cut in two with its carrier. Seen by a simulation.
    MessageCut = "message-cut-in-two",
    /// A carrier was lost while frames were sent again over it.
    ReplayInterrupted = "replay-interrupted",
    /// A resume of a tunnel whose edge had not confirmed the one before.
    ResumeUnconfirmed = "resume-before-confirmation",
    /// A resume while the old carrier still seemed alive.
    ResumeOverLive = "resume-replaces-live-carrier",
    /// A resume that the POP refused.
    ResumeRefused = "resume-refused",
    /// The answer to a resume came when there was nothing left to resume.
    ResumeTooLate = "resume-answered-too-late",
    /// A HELLO that was not later than the last accepted one.
    StaleAttempt = "late-hello-refused",
    /// A process began anew and its earlier tunnel ended.
    Anew = "same-epoch-anew",
    /// Another process of a node took over.
    Takeover = "takeover",
    /// A process that was replaced came back and was turned away.
    DuplicateNode = "duplicate-node",
    /// A third process came before the second had acknowledged anything.
    ThirdProcess = "third-process",
    /// The grace time of a tunnel ran out.
    GraceExpired = "grace-expired",
    /// A wait that the other side asked for was kept.
    RetryHonoured = "retry-after-honoured",
    // Acknowledgements.
    /// A tunnel ended because its peer acknowledged nothing.
    AckWithheld = "ack-withheld",
    /// What the peer says it received contradicts what was sent.
    Desync = "desync-refused",
    /// The resend buffer was full.
    ResendFull = "resend-buffer-full",
    /// An acknowledgement was due at once, for what it covers.
    AckForVolume = "ack-for-volume",
    // Dials.
    /// A dial moved because its exit refused it.
    FailoverRefused = "failover-by-refusal",
    /// A dial moved because its tunnel was lost for good.
    FailoverLost = "failover-by-tunnel-loss",
    /// A dial moved because its tunnel had no carrier.
    FailoverDetached = "failover-by-detachment",
    /// A dial moved because its exit said nothing.
    FailoverSilent = "failover-by-silence",
    /// An exit was passed over because a user had its share of dials there.
    DialShare = "dial-share-used-up",
    /// A dial moved because it had no turn on its tunnel.
    FailoverQueued = "failover-from-own-queue",
    /// A dial came to nothing because this POP had no turn for it.
    QueuedTooLong = "dial-queued-too-long",
    /// Early data moved to another exit.
    EarlyMoved = "early-data-moved",
    /// Early data and the end of the direction moved to another exit.
    EarlyFinMoved = "early-data-and-end-moved",
    /// A dial failed because its tunnel was lost after a byte was framed.
    DialLostWithBytes = "dial-lost-with-bytes",
    /// A dial whose bytes were framed waited for its tunnel to be resumed.
    DialAwaitsResume = "dial-waits-for-resume",
    /// No exit was left to try, by number.
    OutOfExits = "out-of-exits",
    /// No time was left to try another exit.
    DialBudgetOver = "dial-budget-over",
    /// A dial was given up by the POP.
    DialOverdue = "dial-overdue",
    /// A client read no more while its dial ran.
    StopWhileDialling = "stop-during-dial",
    /// A client closed while its dial ran.
    CloseWhileDialling = "close-during-dial",
    /// A dial that nobody waited for any more was answered, and its place was free.
    PlaceFreedLate = "place-freed-by-late-reply",
    /// A reply came for a session that had been closed.
    ReplyAfterClose = "reply-after-close",
    /// A target that nobody may reach was refused.
    TargetForbidden = "target-forbidden",
    /// An edge refused a session beyond its cap.
    SessionCap = "session-cap-refused",
    /// An edge said that it takes no sessions.
    NotAccepting = "not-accepting",
    // Sessions.
    /// A direction ended while the tunnel had no carrier.
    FinishDetached = "half-close-while-detached",
    /// A socket failed while the tunnel had no carrier.
    CloseDetached = "close-drain-while-detached",
    /// A carrier was lost while a session with bytes to send had no credit.
    NoCreditAtCut = "credit-zero-at-cut",
    /// A frame came for a session that had ended.
    LateFrame = "late-frame-dropped",
    /// A session that had no room was woken by credit.
    RoomByCredit = "woken-by-credit",
    /// A session that had no room was woken because its carrier took something.
    RoomByCarrier = "woken-by-carrier",
    /// The idle limit ended a session.
    Idle = "idle-limit",
    /// The shorter limit ended a half-closed session.
    IdleHalfClosed = "half-closed-idle-limit",
    /// A closed session's bytes did not leave in time.
    WriteTimeout = "close-drain-too-slow",
    /// What an ended session had received did not leave in time.
    RestDropped = "socket-too-slow-for-rest",
    // Memory.
    /// The level from which no window grows.
    LevelNoGrowth = "memory-no-growth",
    /// The level from which sessions are refused.
    LevelRefusing = "memory-refusing",
    /// The level from which sessions are shed.
    LevelShedding = "memory-shedding",
    /// The budget was used up.
    LevelFull = "memory-full",
    /// A POP refused a client for want of memory.
    OpenOverloaded = "open-overloaded",
    /// An edge refused a session for want of memory.
    CreateOverloaded = "create-overloaded",
    /// Data waited for what other tunnels kept for resending.
    DataScarce = "data-withheld-for-memory",
    /// A session without progress was reset for want of memory.
    ShedIdle = "shed-without-progress",
    /// A session without progress was reset because its user held more than its share.
    ShedUser = "shed-beyond-share",
    /// A socket was not read because there was no memory.
    RoomDenied = "room-denied-for-memory",
    /// Carriers were not read because there was no memory.
    InputDenied = "input-denied-for-memory",
    /// A user opened nothing because of what it held.
    OpenBeyondShare = "open-beyond-share",
    /// A window grew.
    WindowGrown = "window-grown",
    /// A window could not grow.
    GrowthDenied = "growth-denied",
    /// Growth went back to the pool under pressure.
    GrowthReturned = "growth-returned",
    /// Growth went back to the pool because nothing moved.
    GrowthRested = "growth-rested",
    // Accounts.
    /// A group has little left of its grant.
    AllowanceLow = "allowance-low",
    /// A user had nothing left but what other POPs held, and waited for it.
    OthersAwaited = "others-grant-awaited",
    /// A grant was lowered and more was carried than had been known.
    RecallLate = "grant-recalled-late",
    /// A grant had to be asked for again.
    GrantRetried = "grant-retried",
    /// A user came back whose totals were kept.
    UserReturned = "user-came-back",
    /// Bytes were taken from a client before they could be booked.
    WriteUnpaid = "write-unpaid",
    /// A session name was bound to another node because its own was gone.
    LeaseMoved = "lease-moved",
    /// A sticky session was opened while its exit was away.
    LeaseWaits = "lease-waits",
    /// Every lease was held, and there could be no more.
    LeasesFull = "leases-full",
    // Operators' orders.
    /// A node was told to leave at once.
    Kicked = "node-kicked",
    /// A node that was told to leave came back too soon.
    Barred = "node-barred",
    /// Data waited because a node is slowed down.
    NodeSlowed = "node-slowed",
    /// A node that was sent away went when its last session was over.
    SentAway = "node-sent-away",
    /// A node that was sent away still had sessions when its time was up.
    SentAwayLate = "node-sent-away-late",
    // Hostile peers.
    /// More data than was granted.
    CreditExceeded = "credit-exceeded",
    /// A frame for a session that never was.
    Stranger = "stranger-session",
}

/// Whether paths are counted: what only a mark needs to know is not worth finding out otherwise.
pub(crate) const COUNTED: bool = cfg!(feature = "marks");

/// Notes that a path was taken.
#[inline]
pub(crate) fn hit(mark: Mark) {
    #[cfg(feature = "marks")]
    counted::hit(mark);
    #[cfg(not(feature = "marks"))]
    let _ = mark;
}

#[cfg(feature = "marks")]
pub use counted::{count, note};

#[cfg(feature = "marks")]
mod counted {
    use super::Mark;
    use core::sync::atomic::{AtomicU64, Ordering};

    static HITS: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

    pub(super) fn hit(mark: Mark) {
        HITS[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what no single endpoint can see: for simulations, which see both ends.
    pub fn note(mark: Mark) {
        hit(mark);
    }

    /// Returns how often the path was taken in this process, by all endpoints together.
    #[must_use]
    pub fn count(mark: Mark) -> u64 {
        HITS[mark as usize].load(Ordering::Relaxed)
    }
}
