//! The middleware stack of every request: Loco's own, with Salam's request log.

mod request_log;

use loco_rs::{
    app::AppContext,
    controller::middleware::{MiddlewareLayer, default_middleware_stack},
};

/// Returns Loco's stack in its order, with [`request_log::RequestLog`] in place of Loco's logger.
///
/// The last layer of the stack sees a request first.
pub fn stack(ctx: &AppContext) -> Vec<Box<dyn MiddlewareLayer>> {
    let replace = |layer: Box<dyn MiddlewareLayer>| -> Box<dyn MiddlewareLayer> {
        if layer.name() != request_log::MIDDLEWARE_NAME {
            return layer;
        }
        let is_enabled = layer.is_enabled();
        Box::new(request_log::RequestLog { is_enabled })
    };
    default_middleware_stack(ctx)
        .into_iter()
        .map(replace)
        .collect()
}
