//! Tells a story: reads a script, plays it in a small world, writes down what happened.

mod draft;
mod script;
mod words;
mod world;

/// Plays a script; returns its transcript, or what is wrong with the script.
pub(crate) fn tell(text: &str) -> Result<String, String> {
    let mut world = world::World::new();
    for (number, line) in text.lines().enumerate() {
        let problem = |what: String| format!("line {}: {line}: {what}", number + 1);
        world.say(line);
        if let Some(command) = script::parse(line).map_err(problem)? {
            world.play(command).map_err(problem)?;
        }
    }
    Ok(world.transcript())
}
