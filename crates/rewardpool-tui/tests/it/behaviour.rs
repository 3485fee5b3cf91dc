//! Goal: keys, the mouse and answers do what the screen says that they do. Method: events go into an
//! application; what it asks for and what it shows is looked at.
