//! What a POP has an edge do: let a carrier or a tunnel go, come later, be slower.

use super::EdgeRole;
use super::desk::EdgeDesk;
use crate::arena::{CarrierId, UplinkId};
use crate::endpoint::engine::Engine;
use crate::endpoint::event::EdgeEvent;
use crate::time::{Duration, Instant};
use titan_proto::wire::command::Action;
use titan_proto::{Code, wire};

impl EdgeRole {
    /// Applies the POP's BYE.
    pub(super) fn dismissed(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier: CarrierId,
        bye: &wire::Bye,
    ) {
        let code = Code::from_wire(bye.code);
        if let Some(id) = self.uplink_of(engine, carrier)
            && let Some(uplink) = self.uplinks.get_mut(id)
        {
            uplink.wait_for(Duration::from_millis(bye.retry_after_ms));
            if matches!(code, Code::ResumeRefused | Code::DuplicateNode) {
                // The POP is there: nothing speaks for waiting longer than it says.
                uplink.forgive();
            }
            if !code.is_of_carrier()
                && let Some(tunnel) = uplink.take_tunnel()
            {
                engine.end_tunnel(now, tunnel, code, Duration::ZERO);
            }
        }
        engine.dismiss(now, carrier, code, Duration::ZERO);
    }

    /// Obeys an order, and hands it to the driver.
    pub(super) fn ordered(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier: CarrierId,
        command: wire::Command,
    ) {
        let Some(uplink) = self.uplink_of(engine, carrier) else {
            return;
        };
        match Action::try_from(command.action) {
            Ok(Action::Kick) => self.kicked(engine, now, uplink, &command),
            Ok(Action::Rate) => {
                if let Some(tunnel) = engine.tunnel_on(carrier) {
                    let rate = command.download_rate;
                    engine.change_tunnel(tunnel, |tunnel| tunnel.limit_rate(now, rate));
                }
            }
            // What there is to do is up to the driver. An order of a later version is not obeyed.
            Ok(Action::None | Action::Drain) | Err(_) => {}
        }
        engine.agenda.tell(EdgeEvent::Command { uplink, command });
    }

    /// Obeys a POP that has the node go: whether its BYE still comes does not matter any more.
    fn kicked(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        uplink: UplinkId,
        command: &wire::Command,
    ) {
        let code = match Code::from_wire(command.code) {
            code if code.is_of_operator() => code,
            _ => Code::Kicked,
        };
        let Some(uplink) = self.uplinks.get_mut(uplink) else {
            return;
        };
        uplink.wait_for(Duration::from_millis(command.retry_after_ms));
        if let Some(tunnel) = uplink.take_tunnel() {
            engine.end_tunnel(now, tunnel, code, Duration::ZERO);
        }
    }

    fn uplink_of(&self, engine: &Engine<EdgeDesk>, carrier: CarrierId) -> Option<UplinkId> {
        Some(engine.carriers.get(carrier)?.caller().uplink)
    }
}
