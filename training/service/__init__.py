"""Workers: the processes in which a server trains, and the protocol between them."""
