"""Whether the camera still shows the world: blackout, frozen picture, blur and their like."""
