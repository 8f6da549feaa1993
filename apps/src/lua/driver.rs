//! The sources of the driver, the part of the server that is in Lua: driver.lua and the files of driver/.

/// Loaded with the functions of the server and the parts, as functions that the rest calls.
pub const MAIN: &str = include_str!("driver.lua");
/// By the names under which it finds them.
pub const PARTS: [(&str, &str); 22] = [
    ("random", include_str!("driver/random.lua")),
    ("deadline", include_str!("driver/deadline.lua")),
    ("waiting", include_str!("driver/waiting.lua")),
    ("descriptors", include_str!("driver/descriptors.lua")),
    ("connecting", include_str!("driver/connecting.lua")),
    ("socket", include_str!("driver/socket.lua")),
    ("luasec", include_str!("driver/luasec.lua")),
    ("luasocket", include_str!("driver/luasocket.lua")),
    ("streams", include_str!("driver/streams.lua")),
    ("file_wrapper", include_str!("driver/file_wrapper.lua")),
    ("environ", include_str!("driver/environ.lua")),
    ("start_response", include_str!("driver/start_response.lua")),
    ("answer", include_str!("driver/answer.lua")),
    ("commands", include_str!("driver/commands.lua")),
    ("metrics", include_str!("driver/metrics.lua")),
    ("shared", include_str!("driver/shared.lua")),
    ("messages", include_str!("driver/messages.lua")),
    ("jobs", include_str!("driver/jobs.lua")),
    ("modules", include_str!("driver/modules.lua")),
    ("websocket", include_str!("driver/websocket.lua")),
    ("closing", include_str!("driver/closing.lua")),
    ("files", include_str!("driver/files.lua")),
];
